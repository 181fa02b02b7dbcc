//! Looks into what came out of a rehearsal: a command of the operator's, for which each store is a program of its data set's name that reads and cannot write.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use lab::Folder;
use plan::ids::DataSetName;
use plan::ports::Context;
use plan::{Error, Result};

use super::stage::{REHEARSAL, SYSTEM, Stage, TREE, run};
use crate::app::App;

mod pods;

pub(super) use pods::of_pods;

/// The user who may read.
const READER: &str = "reader";
/// Tells the command in which folder the programs are; they are on its `PATH`, too.
const FOLDER: &str = "THREESCALE_REHEARSAL";
/// The same before a restore goes live: one command serves both.
const FOLDER_OF_RESTORES: &str = "THREESCALE_STAGED";

/// Runs the command while the throw-away servers are there.
///
/// # Errors
/// When the users who may read cannot be made; when the command ends with another status than 0.
pub(super) fn then(app: &App, context: &Context, open: impl FnOnce(&Path) -> Result<Vec<String>>, command: &str) -> Result<()> {
    context.stop.check()?;
    let folder = Folder::create("then")?;
    let at = folder.path();
    let names = open(at)?;
    app.output.note(&format!("running the command of --then, which reads by {}", names.join(", ")));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths(std::iter::once(at.to_owned()).chain(std::env::split_paths(&path)));
    let path = path.map_err(|error| Error::failed("the PATH cannot be added to").because(error))?;
    let mut shell = children::command("sh");
    shell.args(["-c", command]).env(FOLDER, at).env(FOLDER_OF_RESTORES, at).env("PATH", path).stdin(Stdio::null());
    // With --json standard output is the document's alone.
    if app.output.json {
        shell.stdout(Stdio::from(std::io::stderr()));
    }
    let status = shell.status().map_err(|error| Error::failed("sh could not be started").because(error))?;
    if status.success() {
        Ok(())
    } else {
        Err(Error::failed(format!("the command of --then ended with {status}; the set itself was proven")))
    }
}

/// Makes a program for each store on this machine, and gives their names.
pub(super) fn of_machine(stage: &Stage, at: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for (name, server) in &stage.mysql {
        let password = server.password();
        let users = format!(
            "CREATE USER '{READER}'@'localhost' IDENTIFIED BY '{password}'; GRANT SELECT, SHOW VIEW ON `{SYSTEM}`.* TO '{READER}'@'localhost';"
        );
        say(server.client(), &users)?;
        let file = write(
            at,
            &format!("{name}.cnf"),
            0o600,
            &format!("[client]\nuser={READER}\npassword={password}\nsocket={}\n", server.socket().display()),
        )?;
        let program = server.client().get_program().to_owned();
        names.push(door(at, *name, &[], &[&program.to_string_lossy(), &format!("--defaults-file={}", file.display()), SYSTEM])?);
    }
    for (name, server) in &stage.postgres {
        let password = server.password();
        let users = format!(
            "CREATE ROLE {READER} LOGIN PASSWORD '{password}'; ALTER ROLE {READER} SET default_transaction_read_only = on; GRANT pg_read_all_data TO {READER};"
        );
        say(server.client(), &users)?;
        let file = write(at, &format!("{name}.pass"), 0o600, &format!("*:*:*:{READER}:{password}\n"))?;
        let (host, port, file) = (server.socket().display().to_string(), server.port().to_string(), file.display().to_string());
        let settings = [("PGHOST", host.as_str()), ("PGPORT", &port), ("PGUSER", READER), ("PGDATABASE", REHEARSAL), ("PGPASSFILE", &file)];
        let program = server.program("psql").get_program().to_owned();
        names.push(door(at, *name, &settings, &[&program.to_string_lossy(), "-X"])?);
    }
    for (name, server) in &stage.redis {
        run(
            server.client().args(["ACL", "SETUSER", READER, "on", "nopass", "~*", "+@read", "+@connection", "+info"]),
            "make a user who may read",
        )?;
        let program = server.client().get_program().to_owned();
        let socket = server.socket().display().to_string();
        // A password of the operator's own server has no business here.
        names.push(door(
            at,
            *name,
            &[("REDISCLI_AUTH", "")],
            &[&program.to_string_lossy(), "-s", &socket, "--user", READER, "--no-auth-warning", "--pass", "x"],
        )?);
    }
    for (name, folder) in &stage.folders {
        let door = at.join(name.as_str());
        symlink(folder.join(TREE), &door).map_err(|error| Error::failed(format!("{} could not be made", door.display())).because(error))?;
        names.push(format!("the folder ${FOLDER}/{name}"));
    }
    Ok(names)
}

/// Says something to a client program, on its standard input: no argument of a program has a password.
fn say(mut client: Command, sql: &str) -> Result<()> {
    let spawned = client.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
    let mut child = spawned.map_err(|error| Error::failed("the client of a throw-away server could not be started").because(error))?;
    let written = child.stdin.take().map_or(Ok(()), |mut stdin| stdin.write_all(sql.as_bytes()));
    let output = child
        .wait_with_output()
        .map_err(|error| Error::failed("the client of a throw-away server could not be waited for").because(error))?;
    match (output.status.success(), written) {
        (true, Ok(())) => Ok(()),
        _ => Err(Error::failed(format!("no user who may read could be made: {}", String::from_utf8_lossy(&output.stderr).trim()))),
    }
}

/// A shell script that calls a client.
fn door(at: &Path, name: DataSetName, settings: &[(&str, &str)], words: &[&str]) -> Result<String> {
    let mut script = "#!/bin/sh\n".to_owned();
    for (variable, value) in settings {
        script.push_str(&format!("export {variable}={}\n", quoted(value)));
    }
    let words: Vec<String> = words.iter().map(|word| quoted(word)).collect();
    script.push_str(&format!("exec {} \"$@\"\n", words.join(" ")));
    write(at, name.as_str(), 0o700, &script)?;
    Ok(name.to_string())
}

fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}

fn write(at: &Path, name: &str, mode: u32, text: &str) -> Result<PathBuf> {
    let path = at.join(name);
    let made = OpenOptions::new().write(true).create_new(true).mode(mode).open(&path);
    let written = made.and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| Error::failed(format!("{} could not be written", path.display())).because(error))?;
    Ok(path)
}
