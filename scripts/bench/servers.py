"""The throw-away servers of lab, and their own clients. Secrets are in files and variables, never in arguments."""
import os
import pathlib
import shlex
import socket
import subprocess
import time

from measuring import Command, Failed, ask

QUIET_SECONDS = 120


class Mysql:
    """The system database's server, MySQL or MariaDB."""

    def __init__(self, told, folder):
        self.told, self.folder, self.pid = told, folder, int(told["mysql_pid"])
        self.defaults = f"--defaults-file={told['mysql_defaults']}"

    def client(self, *arguments, **more):
        return Command([self.told["mysql_client"], self.defaults, "--batch", "--skip-column-names", *arguments], **more)

    def dump(self, *arguments, **more):
        return Command([self.told["mysql_dump"], self.defaults, *arguments], **more)

    def sql(self, statements, *arguments):
        """Lines of tabs."""
        return ask(self.client(*arguments), self.folder, statements)

    def value(self, statement):
        return self.sql(statement).strip()

    def tables(self, schema):
        found = self.sql(f"SELECT table_name FROM information_schema.tables WHERE table_schema = '{schema}' AND table_type = 'BASE TABLE'")
        return found.split("\n")[:-1]

    def rows(self, schema):
        counts = "".join(f"SELECT COUNT(*) FROM `{schema}`.`{table}`;\n" for table in self.tables(schema))
        return sum(int(line) for line in self.sql(counts).split()) if counts else 0

    def url(self, schema):
        return self.told["mysql_url"].rsplit("/", 1)[0] + "/" + schema

    def version(self):
        name = "MariaDB" if "MariaDB" in self.value("SELECT VERSION()") else "MySQL"
        return f"{name} {self.value('SELECT VERSION()').split('-')[0]}"

    def has_gtids(self):
        return self.sql("SHOW GLOBAL VARIABLES LIKE 'gtid_mode'").split()[1:] == ["ON"]

    def quiet(self):
        """Until it has nothing left to write: a turn must not pay for the one before."""
        percent, low = self.value("SELECT @@GLOBAL.innodb_max_dirty_pages_pct, @@GLOBAL.innodb_max_dirty_pages_pct_lwm").split()
        self.sql("SET GLOBAL innodb_max_dirty_pages_pct_lwm = 0, GLOBAL innodb_max_dirty_pages_pct = 0")
        try:
            settle(lambda: int(self.sql("SHOW GLOBAL STATUS LIKE 'Innodb_buffer_pool_pages_dirty'").split()[1]) <= 50)
        finally:
            self.sql(f"SET GLOBAL innodb_max_dirty_pages_pct = {percent}, GLOBAL innodb_max_dirty_pages_pct_lwm = {low}")


class Postgres:
    """The zync database's server."""

    def __init__(self, told, folder):
        self.told, self.folder, self.pid = told, folder, int(told["postgres_pid"])
        self.env = {"PGHOST": told["postgres_host"], "PGPORT": told["postgres_port"], "PGUSER": "postgres", "PGPASSFILE": told["postgres_passfile"],
                    "PGDATABASE": "postgres"}

    def program(self, name, *arguments, **more):
        return Command([os.path.join(self.told["postgres_programs"], name), *arguments], env=self.env, **more)

    def client(self, *arguments, **more):
        return self.program("psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", *arguments, **more)

    def sql(self, statements, database="postgres"):
        return ask(self.client("-d", database), self.folder, statements)

    def tables(self, database):
        return self.sql("SELECT quote_ident(schemaname) || '.' || quote_ident(relname) FROM pg_stat_user_tables ORDER BY 1", database).split("\n")[:-1]

    def rows(self, database):
        counts = "".join(f"SELECT count(*) FROM {table};\n" for table in self.tables(database))
        return sum(int(line) for line in self.sql(counts, database).split()) if counts else 0

    def url(self, database):
        return self.told["postgres_url"].rsplit("/", 1)[0] + "/" + database

    def version(self):
        return "PostgreSQL " + self.sql("SHOW server_version").split()[0]

    def quiet(self):
        self.sql("CHECKPOINT")


class Redis:
    """Backend's Redis."""

    def __init__(self, told, folder):
        self.told, self.folder, self.pid = told, folder, int(told["redis_pid"])
        self.env = {"REDISCLI_AUTH": told["redis_password"]}

    def client(self, *arguments, **more):
        return Command(["redis-cli", "-s", self.told["redis_socket"], *arguments], env=self.env, **more)

    def call(self, *arguments):
        said = ask(self.client(*arguments), self.folder).strip()
        if said.startswith(("ERR", "NOAUTH", "NOPERM")):
            raise Failed(f"redis-cli {arguments[0]}: {said}")
        return said

    def link(self):
        return Link(self.told["redis_socket"], self.told["redis_password"])

    def url(self, database):
        return self.told["redis_url"].rsplit("/", 1)[0] + f"/{database}"

    def version(self):
        return "Redis " + next(line.split(":")[1] for line in self.call("INFO", "server").splitlines() if line.startswith("redis_version"))

    def quiet(self):
        busy = ("rdb_bgsave_in_progress:1", "aof_rewrite_in_progress:1", "aof_rewrite_scheduled:1")
        settle(lambda: not any(word in self.call("INFO", "persistence") for word in busy))


class Link:
    """Redis' protocol over its socket: calls one after the other, many of them sent before the first answer is read."""

    def __init__(self, path, password):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(600)
        self.socket.connect(path)
        self.reader = self.socket.makefile("rb", 1 << 20)
        self.calls([[b"AUTH", password.encode()]])

    def calls(self, calls):
        self.socket.sendall(b"".join(words(call) for call in calls))
        return [self.answer() for _ in calls]

    def answer(self):
        line = self.reader.readline()
        kind, rest = line[:1], line[1:-2]
        if kind == b"$":
            return None if rest == b"-1" else self.reader.read(int(rest) + 2)[:-2]
        if kind == b"*":
            return [self.answer() for _ in range(int(rest))]
        if kind not in (b"+", b":"):
            raise Failed(f"Redis said {line.decode(errors='replace').strip() or 'nothing'}")
        return rest

    def close(self):
        self.reader.close()
        self.socket.close()


def words(call):
    """A call in Redis' protocol."""
    return b"*%d\r\n" % len(call) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in call)


def settle(is_done):
    end = time.monotonic() + QUIET_SECONDS
    while not is_done():
        if time.monotonic() > end:
            raise Failed(f"the server did not come to rest within {QUIET_SECONDS} s")
        time.sleep(0.1)


class Installation:
    """All stores of one installation, filled. They end with it, and with this process, however it ends: they look at their standard input."""

    def __init__(self, program, size, kind, folder):
        self.size, self.kind = size, kind
        folder.mkdir(mode=0o700)
        self.log = folder / "installation.log"
        with open(self.log, "wb") as log:
            # In a session of their own: Ctrl-C ends this program, and this program ends them.
            self.child = subprocess.Popen([program, size, str(folder), kind], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
                                          start_new_session=True)
        try:
            if self.child.stdout.readline() != b"READY\n":
                said = self.log.read_text(errors="replace").strip()
                raise Failed(f"the throw-away servers ({kind}, {size}) did not start: {said[:400]}")
            told = {}
            for word in shlex.split((folder / "installation.sh").read_text()):
                name, _, value = word.partition("=")
                told[name] = value
        except BaseException:
            self.close()
            raise
        self.config, self.storage = pathlib.Path(told["config"]), pathlib.Path(told["storage"])
        self.mysql, self.postgres, self.redis = Mysql(told, folder), Postgres(told, folder), Redis(told, folder)
        self.all_pids = [int(told[name]) for name in ("mysql_pid", "postgres_pid", "redis_pid", "system_redis_pid")]

    def close(self):
        self.child.stdin.close()
        self.child.stdout.close()
        try:
            self.child.wait(300)
        except subprocess.TimeoutExpired:
            self.child.terminate()
            self.child.wait()
