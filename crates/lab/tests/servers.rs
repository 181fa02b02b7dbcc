//! The servers themselves: they start, keep their data, and end with whoever started them.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::process::Command;
use std::time::{Duration, Instant};

use lab::{Mysql, MysqlKind, Postgres, Redis, RedisKind, Tls};
use mysql::prelude::Queryable;

fn output(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn is_alive(id: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{id}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

fn mysql_keeps_its_data(kind: MysqlKind) {
    let mut server = Mysql::start(kind, &["--innodb-buffer-pool-size=32M"]).unwrap();
    let port = server.port();
    // Plain TCP: on MySQL that is the whole handshake of caching_sha2_password, with the server's RSA key.
    let options = mysql::OptsBuilder::new()
        .ip_or_hostname(Some(server.host()))
        .tcp_port(port)
        .user(Some("root"))
        .pass(Some(server.password()))
        .prefer_socket(false);
    let mut conn = mysql::Conn::new(options).unwrap();
    conn.query_drop("CREATE DATABASE d").unwrap();
    conn.query_drop("CREATE TABLE d.t (a INT PRIMARY KEY)").unwrap();
    conn.query_drop("INSERT INTO d.t VALUES (1), (2)").unwrap();
    let size: u64 = conn.query_first("SELECT @@innodb_buffer_pool_size").unwrap().unwrap();
    assert_eq!(size, 32 << 20);
    drop(conn);
    server.stop().unwrap();
    server.start_again().unwrap();
    assert_eq!(output(server.client().args(["-N", "-B", "-e", "SELECT SUM(a) FROM d.t"])), "3");
    server.kill();
    server.start_again().unwrap();
    assert_eq!(output(server.client().args(["-N", "-B", "-e", "SELECT SUM(a) FROM d.t"])), "3");
    assert_eq!(server.port(), port);
    assert!(output(server.dump_client().args(["d"])).contains("INSERT INTO `t`"));
    let version = output(server.client().args(["-N", "-B", "-e", "SELECT VERSION()"]));
    assert_eq!(version.contains("MariaDB"), kind.is_mariadb(), "{version}");
    assert_eq!(version.starts_with("11.8."), kind == MysqlKind::NewerMariadb, "{version}");
}

#[test]
fn mysql_keeps_its_data_through_stop_and_kill() {
    mysql_keeps_its_data(MysqlKind::Mysql);
}

#[test]
fn mariadb_keeps_its_data_through_stop_and_kill() {
    mysql_keeps_its_data(MysqlKind::Mariadb);
}

#[test]
fn newer_mariadb_keeps_its_data_through_stop_and_kill() {
    mysql_keeps_its_data(MysqlKind::NewerMariadb);
}

#[test]
fn two_servers_of_one_template_have_identities_of_their_own() {
    let (a, b) = (Mysql::start(MysqlKind::Mysql, &[]).unwrap(), Mysql::start(MysqlKind::Mysql, &[]).unwrap());
    let uuid = |server: &Mysql| output(server.client().args(["-N", "-B", "-e", "SELECT @@server_uuid"]));
    assert_ne!(uuid(&a), uuid(&b));
}

#[test]
fn postgres_keeps_its_data_through_stop_and_kill() {
    let mut server = Postgres::start(&["-c", "work_mem=7MB"]).unwrap();
    let mut client = postgres::Client::connect(&server.url("postgres"), postgres::NoTls).unwrap();
    client.batch_execute("CREATE DATABASE d").unwrap();
    drop(client);
    output(server.client().args(["-d", "d", "-c", "CREATE TABLE t AS SELECT generate_series(1, 10) AS a"]));
    server.stop().unwrap();
    server.start_again().unwrap();
    assert_eq!(output(server.client().args(["-At", "-d", "d", "-c", "SELECT sum(a) FROM t"])), "55");
    server.kill();
    server.start_again().unwrap();
    assert_eq!(output(server.client().args(["-At", "-d", "d", "-c", "SELECT sum(a) FROM t"])), "55");
    assert_eq!(output(server.client().args(["-At", "-c", "SHOW work_mem"])), "7MB");
    assert!(output(server.program("pg_dump").args(["d"])).contains("CREATE TABLE public.t"));
}

#[test]
fn redis_with_a_password_keeps_its_data_through_stop_and_kill() {
    let mut server = Redis::start(&["--appendonly", "yes", "--requirepass", "secret"]).unwrap();
    assert_eq!(server.url(1), format!("redis://:secret@127.0.0.1:{}/1", server.port()));
    assert_eq!(output(server.client().args(["-n", "1", "SET", "a", "b"])), "OK");
    server.stop().unwrap();
    server.start_again().unwrap();
    assert_eq!(output(server.client().args(["-n", "1", "GET", "a"])), "b");
    server.kill();
    server.start_again().unwrap();
    assert_eq!(output(server.client().args(["-n", "1", "GET", "a"])), "b");
    assert_eq!(output(server.client().args(["-p", &server.port().to_string(), "-h", "127.0.0.1", "DEBUG", "DIGEST"])).len(), 40);
}

#[test]
fn redis_comes_in_four_kinds() {
    let version = |kind, name: &str| {
        let mut server = Redis::start_kind(kind, &["--appendonly", "yes"]).unwrap();
        output(server.client().args(["SET", "a", "b"]));
        server.kill();
        server.start_again().unwrap();
        assert_eq!(output(server.client().args(["GET", "a"])), "b");
        let info = output(server.client().args(["INFO", "server"]));
        info.lines().find_map(|line| line.strip_prefix(&format!("{name}_version:"))).unwrap().trim().to_owned()
    };
    let major = |version: String| version.split('.').next().unwrap().parse::<u32>().unwrap();
    assert!(version(RedisKind::Redis6, "redis").starts_with("6.2."));
    assert_eq!(major(version(RedisKind::Redis, "redis")), 7);
    assert!(major(version(RedisKind::NewestRedis, "redis")) >= 8);
    assert!(major(version(RedisKind::Valkey, "valkey")) >= 8);
}

#[test]
fn servers_speak_tls_with_the_throw_away_authority() {
    let folder = tempfile::tempdir().unwrap();
    let tls = Tls::make(folder.path()).unwrap();
    let strings = |options: &'_ [String]| options.to_vec();
    let mysql_options = strings(&tls.mysql_options());
    let server = Mysql::start(MysqlKind::Mysql, &mysql_options.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
    let ca = format!("--ssl-ca={}", tls.ca().display());
    let port = format!("-P{}", server.port());
    let mut client = server.client();
    client.args([
        "-h127.0.0.1",
        &port,
        "--protocol=tcp",
        "--ssl-mode=VERIFY_IDENTITY",
        &ca,
        "-N",
        "-B",
        "-e",
        "SHOW STATUS LIKE 'Ssl_cipher'",
    ]);
    assert!(output(&mut client).contains("TLS_"));

    let postgres_options = strings(&tls.postgres_options());
    let server = Postgres::start(&postgres_options.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
    let mut client = server.client();
    client.env("PGHOST", "127.0.0.1").env("PGSSLMODE", "verify-full").env("PGSSLROOTCERT", tls.ca());
    assert_eq!(output(client.args(["-At", "-c", "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"])), "t");

    let redis_options = strings(&tls.redis_options());
    let server = Redis::start(&redis_options.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
    assert!(server.url(0).starts_with("rediss://"));
    let mut client = Command::new("redis-cli");
    client.args(["-h", "127.0.0.1", "-p", &server.port().to_string(), "--tls", "--cacert"]).arg(tls.ca());
    client.env("REDISCLI_AUTH", server.password());
    assert_eq!(output(client.arg("PING")), "PONG");
}

#[test]
fn a_server_that_does_not_start_says_why() {
    let error = Postgres::start(&["-c", "no_such_setting=1"]).err().unwrap();
    assert!(error.hints().iter().any(|hint| hint.contains("no_such_setting")), "{error:?}");
    let error = Mysql::start(MysqlKind::Mysql, &["--no-such-setting"]).err().unwrap();
    assert!(error.hints().iter().any(|hint| hint.contains("no-such-setting")), "{error:?}");
    let error = Redis::start(&["--no-such-setting", "1"]).err().unwrap();
    assert!(error.hints().iter().any(|hint| hint.contains("no-such-setting")), "{error:?}");
}

#[test]
fn a_panicking_owner_leaves_neither_server_nor_folder() {
    let (sender, receiver) = std::sync::mpsc::channel();
    let owner = std::thread::spawn(move || {
        let server = Redis::start(&[]).unwrap();
        sender.send((server.process_id().unwrap(), server.folder().to_owned())).unwrap();
        panic!("on purpose");
    });
    assert!(owner.join().is_err());
    let (id, folder) = receiver.recv().unwrap();
    assert!(!is_alive(id));
    assert!(!folder.exists());
}

#[test]
fn a_server_outlives_the_thread_that_started_it() {
    let server = std::thread::spawn(|| Redis::start(&[]).unwrap()).join().unwrap();
    assert_eq!(output(server.client().arg("PING")), "PONG");
}

/// Runs this test program again with `INNER`, where the test below starts servers and waits to be killed.
#[test]
fn servers_end_with_a_killed_process_and_the_next_removes_their_folders() {
    if let Some(file) = std::env::var_os("LAB_TEST_INNER") {
        let servers = (Redis::start(&[]).unwrap(), Postgres::start(&[]).unwrap(), Mysql::start(MysqlKind::Mysql, &[]).unwrap());
        let ids = [servers.0.process_id(), servers.1.process_id(), servers.2.process_id()];
        let folders = [servers.0.folder(), servers.1.folder(), servers.2.folder()];
        let lines: Vec<_> = ids.iter().zip(folders).map(|(id, folder)| format!("{} {}", id.unwrap(), folder.display())).collect();
        let unfinished = std::path::PathBuf::from(&file).with_extension("new");
        std::fs::write(&unfinished, lines.join("\n")).unwrap();
        std::fs::rename(&unfinished, &file).unwrap();
        std::thread::sleep(Duration::from_secs(300));
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ids");
    let name = "servers_end_with_a_killed_process_and_the_next_removes_their_folders";
    let mut inner = Command::new(std::env::current_exe().unwrap()).args([name, "--exact"]).env("LAB_TEST_INNER", &file).spawn().unwrap();
    wait_for("the inner process's servers", || file.exists());
    let text = std::fs::read_to_string(&file).unwrap();
    let servers: Vec<(u32, &str)> =
        text.lines().map(|line| line.split_once(' ').unwrap()).map(|(id, path)| (id.parse().unwrap(), path)).collect();
    assert_eq!(servers.len(), 3);
    assert!(servers.iter().all(|&(id, path)| is_alive(id) && std::path::Path::new(path).exists()));
    inner.kill().unwrap();
    inner.wait().unwrap();
    for &(id, _) in &servers {
        wait_for("the server to end", || !is_alive(id));
    }
    let next = Redis::start(&[]).unwrap();
    wait_for("the folders to be removed", || servers.iter().all(|&(_, path)| !std::path::Path::new(path).exists()));
    drop(next);
}

fn wait_for(what: &str, condition: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !condition() {
        assert!(Instant::now() < end, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
