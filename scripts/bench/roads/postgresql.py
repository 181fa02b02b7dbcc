"""PostgreSQL: a database of several tables, out and in, beside pg_dump and pg_restore."""
import shutil

from measuring import Failed, size_of
from program import config_of
from results import LIMIT, PEER
from roads.road import Candidate
from roads.store import StoreRoad

DATABASE = "bench"
JOBS = 4
#: Name, columns beside `id` and `updated_at`, their values from `i`, bytes of a row, part of the size.
TABLES = (
    ("notifications", "body text, state varchar(20)", "repeat(md5(i::text), 16), (array['new', 'sent', 'failed'])[1 + i % 3]", 560, 0.5),
    ("entries", "name varchar(64), account_id bigint, amount numeric(20,4)", "md5(i::text), i % 5003, i / 7.0", 90, 0.3),
    ("documents", "content bytea, attributes jsonb", "decode(repeat(md5(i::text), 300), 'hex'), jsonb_build_object('id', i, 'tags', array[i % 7, i % 11])", 5_000, 0.2),
)
AFTER = "CREATE INDEX ON entries (name); CREATE INDEX ON entries (account_id, updated_at); CREATE INDEX ON notifications (state);"


class Postgresql(StoreRoad):
    def prepare(self):
        self.server = self.bench.any_installation().postgres
        self.drop()
        self.server.sql(f"CREATE DATABASE {DATABASE}")
        for name, columns, values, row_bytes, part in TABLES:
            rows = max(1_000, int(self.sizes.bytes * part) // row_bytes)
            self.server.sql(f"CREATE TABLE {name} (id bigserial PRIMARY KEY, updated_at timestamp, {columns});"
                            f"INSERT INTO {name} SELECT i, '2026-01-05 10:00:00', {values} FROM generate_series(1, {rows}) i;", DATABASE)
        self.server.sql(AFTER + "ANALYZE;", DATABASE)
        self.program = self.bench.program(self.folder / "ours", config_of("zync-database", f'url = "{self.server.url(DATABASE)}"'))
        self.wanted = self.server.rows(DATABASE)
        self.dumped, self.folder_of_dump = self.folder / "dump.custom", self.folder / "dump.folder"
        self.about_data = f"{self.server.version()}, {len(TABLES)} tables, {self.wanted} rows."

    def servers(self):
        return [self.server]

    def drop(self):
        for database in (DATABASE, "bench_restored"):
            self.server.sql(f"DROP DATABASE IF EXISTS {database} WITH (FORCE)")

    def clean_up(self):
        if hasattr(self, "server"):
            self.drop()

    def whole(self):
        found = self.server.rows(DATABASE)
        if found != self.wanted:
            raise Failed(f"the live database has {found} of {self.wanted} rows after the restore")

    def stream(self):
        # Uncompressed, so that restic finds what it has.
        return [self.server.program("pg_dump", "-Fc", "-Z0", DATABASE)]

    def peers_out(self):
        return [
            Candidate("pg_dump -Fc", lambda: [self.server.program("pg_dump", "-Fc", "-f", self.dumped, DATABASE)], left=lambda: size_of(self.dumped)),
            Candidate(f"pg_dump -Fd -j {JOBS}", lambda: [self.server.program("pg_dump", "-Fd", "-j", str(JOBS), "-f", self.folder_of_dump, DATABASE)],
                      before=lambda: shutil.rmtree(self.folder_of_dump, ignore_errors=True), left=lambda: size_of(self.folder_of_dump)),
            Candidate("COPY to nowhere, one client", self.copy, LIMIT),
        ]

    def copy(self):
        script = self.folder / "copy.sql"
        script.write_text("".join(f"COPY {table} TO STDOUT;\n" for table in self.server.tables(DATABASE)))
        return [self.server.client("-d", DATABASE, stdin=script, out="/dev/null")]

    def peers_in(self):
        return [self.loading("pg_restore", self.dumped), self.loading(f"pg_restore -j {JOBS}", self.dumped, "-j", str(JOBS))]

    def loading(self, name, dump, *options):
        def fresh():
            if not dump.exists():
                raise Failed("there is no dump by pg_dump")
            self.server.sql("DROP DATABASE IF EXISTS bench_restored WITH (FORCE);")
            self.server.sql("CREATE DATABASE bench_restored TEMPLATE template0;")

        def counted(_):
            found = self.server.rows("bench_restored")
            self.server.sql("DROP DATABASE bench_restored WITH (FORCE)")
            if found != self.wanted:
                raise Failed(f"it loaded {found} of {self.wanted} rows")
        return Candidate(name, lambda: [self.server.program("pg_restore", "--exit-on-error", *options, "-d", "bench_restored", dump)], PEER, before=fresh, after=counted)

    def change(self, which):
        changed = 0
        for name, *_ in TABLES:
            where = f"id > (SELECT max(id) - count(*) / 100 FROM {name})" if which == "newest" else "id % 100 = 0"
            changed += int(self.server.sql(f"WITH changed AS (UPDATE {name} SET updated_at = updated_at + interval '1 second' WHERE {where} RETURNING 1) "
                                           "SELECT count(*) FROM changed", DATABASE))
        return f"{changed} of {self.wanted} rows"


ROADS = {"postgresql": Postgresql}
