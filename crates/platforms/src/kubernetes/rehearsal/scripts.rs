//! What the containers run. Images of 3scale and Red Hat have `run-mysqld` and `run-postgresql`, those of Docker's library `docker-entrypoint.sh`; of both the server
//! makes its folder and its users by itself, from variables. No password is an argument of a program.

/// MySQL or `MariaDB`. The folder of Red Hat's images is a mount of the same volume.
pub(super) const MYSQL: &str = r#"if command -v run-mysqld >/dev/null 2>&1; then exec run-mysqld --local-infile=1; fi
if command -v docker-entrypoint.sh >/dev/null 2>&1; then
  server=mysqld; if command -v mariadbd >/dev/null 2>&1; then server=mariadbd; fi
  exec docker-entrypoint.sh "$server" --datadir=/rehearsal/data --local-infile=1
fi
echo "this image has neither run-mysqld nor docker-entrypoint.sh" >&2; exit 127"#;

/// `PostgreSQL`.
pub(super) const POSTGRESQL: &str = r#"if command -v run-postgresql >/dev/null 2>&1; then exec run-postgresql; fi
if command -v docker-entrypoint.sh >/dev/null 2>&1; then PGDATA=/rehearsal/data; export PGDATA; exec docker-entrypoint.sh postgres; fi
echo "this image has neither run-postgresql nor docker-entrypoint.sh" >&2; exit 127"#;

/// Redis or Valkey, with the settings on its standard input; `$1` is the program where the installation's own pod names it.
pub(super) const REDIS: &str = r#"server=$1
if [ -z "$server" ]; then server=$(command -v redis-server || command -v valkey-server); fi
if [ -z "$server" ]; then echo "this image has neither redis-server nor valkey-server" >&2; exit 127; fi
printf '%s\n' "requirepass $REDISCLI_AUTH" 'port 6379' 'protected-mode no' 'daemonize no' 'save ""' 'appendonly no' 'dir /rehearsal' 'databases 64' | "$server" -"#;

/// Nothing, until it is asked to end.
pub(super) const IDLE: &str = "trap 'exit 0' TERM INT; while :; do sleep 1; done";

/// Red Hat's older images find their programs by what their entrypoint sets.
pub(super) const BY_ENTRYPOINT: &str =
    r#"if command -v container-entrypoint >/dev/null 2>&1; then exec container-entrypoint bash -c "$1"; fi; exec sh -c "$1""#;

/// Whether MySQL can be used over the network: while it makes its folder it cannot.
pub(super) const MYSQL_READY: &str = r#"client=mysql; command -v mysql >/dev/null 2>&1 || client=mariadb; MYSQL_PWD="$MYSQL_ROOT_PASSWORD" "$client" -h 127.0.0.1 -uroot -e 'SELECT 1' system"#;
/// The same of `PostgreSQL`.
pub(super) const POSTGRESQL_READY: &str =
    r#"PGPASSWORD="$POSTGRESQL_PASSWORD" exec psql -h 127.0.0.1 -U "$POSTGRESQL_USER" -d "$POSTGRESQL_DATABASE" -c 'SELECT 1'"#;
/// The same of Redis, whose client finds the password in the environment.
pub(super) const REDIS_READY: &str =
    r#"client=redis-cli; command -v redis-cli >/dev/null 2>&1 || client=valkey-cli; "$client" -h 127.0.0.1 ping | grep PONG"#;
