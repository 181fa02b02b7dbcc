"""The system database on MySQL and MariaDB: lab's 3scale-like data, and the shapes of data that are hard (`shapes.py`)."""
import functools
import shutil

from measuring import Command, Failed, size_of
from program import config_of
from results import LIMIT
from roads.road import Candidate
from roads.shapes import SHAPES
from roads.store import StoreRoad

CLIENTS = 4


class SystemDatabase(StoreRoad):
    about = "the system database"

    def __init__(self, bench, name, kind, shape=None):
        super().__init__(bench, name)
        self.kind, self.shape = kind, shape
        self.loaded, self.changes = [], 0

    def prepare(self):
        self.installation = self.bench.installation(self.kind)
        self.server = self.installation.mysql
        self.schema = "bench_shape" if self.shape else self.server.told["system_database"]
        if self.shape:
            self.server.sql(f"DROP DATABASE IF EXISTS {self.schema}; CREATE DATABASE {self.schema} CHARACTER SET utf8mb4")
            SHAPES[self.shape](lambda statements: self.server.sql(statements, self.schema), self.sizes)
        config = config_of("system-database", f'url = "{self.server.url(self.schema)}"')
        self.program = self.bench.program(self.folder / "ours", config)
        self.tables = self.server.tables(self.schema)
        self.wanted = self.server.rows(self.schema)
        self.dumped, self.folder_of_mydumper = self.folder / "dump.sql.gz", self.folder / "mydumper"
        # A dump of a server with GTIDs cannot be loaded into that server again.
        self.options = ["--set-gtid-purged=OFF"] if self.server.has_gtids() else []
        self.about_data = f"{self.server.version()}, {len(self.tables)} tables, {self.wanted} rows" + (f" ({self.shape})." if self.shape else ".")

    def servers(self):
        return [self.server]

    def clean_up(self):
        if self.shape and hasattr(self, "server"):
            self.server.sql(f"DROP DATABASE IF EXISTS {self.schema}")
        for schema in self.loaded:
            self.server.sql(f"DROP DATABASE IF EXISTS {schema}")

    def whole(self):
        found = self.server.rows(self.schema)
        if found != self.wanted:
            raise Failed(f"the live database has {found} of {self.wanted} rows after the restore")

    # ---- out ----------------------------------------------------------------------------------------------------------------

    def dump(self):
        return self.server.dump("--single-transaction", *self.options, self.schema)

    def stream(self):
        return [self.dump()]

    def peers_out(self):
        return [
            Candidate("mysqldump --single-transaction | gzip", lambda: [self.dump(), Command(["gzip"], out=self.dumped)], left=lambda: size_of(self.dumped)),
            Candidate("mydumper -c", lambda: [Command(["mydumper", self.server.defaults, "-B", self.schema, "-c", "-o", self.folder_of_mydumper])],
                      before=lambda: shutil.rmtree(self.folder_of_mydumper, ignore_errors=True), left=lambda: size_of(self.folder_of_mydumper)),
            Candidate("SELECT to nowhere, one client", lambda: self.select(1), LIMIT),
            Candidate(f"SELECT to nowhere, {CLIENTS} clients", lambda: self.select(CLIENTS), LIMIT),
        ]

    def select(self, clients):
        """Every row of every table to nowhere; the tables are dealt out."""
        commands = []
        for number in range(clients):
            script = self.folder / f"select-{number}.sql"
            script.write_text("".join(f"SELECT * FROM `{table}`;\n" for table in self.tables[number::clients]))
            commands.append(self.server.client("--quick", self.schema, stdin=script, out="/dev/null"))
        return commands

    # ---- in -----------------------------------------------------------------------------------------------------------------

    def peers_in(self):
        unlogged = "--init-command=SET SESSION sql_log_bin = 0"
        candidates = [self.loading("zcat | mysql", "bench_zcat", lambda schema: [self.unpacked(), self.server.client(schema)])]
        if self.server.value("SELECT @@log_bin") == "1":
            candidates.append(self.loading("zcat | mysql, sql_log_bin = 0", "bench_zcat", lambda schema: [self.unpacked(), self.server.client(unlogged, schema)]))
        candidates.append(self.loading("myloader", "bench_myloader", self.myloader))
        candidates.append(self.loading("LOAD DATA of ready files, one client", "bench_load", self.load_data, LIMIT, self.make_files))
        return candidates

    def loading(self, name, schema, commands, role="peer", before=None):
        """Into a schema of its own, whose rows are counted afterwards."""
        def fresh():
            self.loaded.append(schema)
            self.server.sql(f"DROP DATABASE IF EXISTS {schema}; CREATE DATABASE {schema}")
            if before:
                before(schema)

        def counted(_):
            found = self.server.rows(schema)
            self.server.sql(f"DROP DATABASE {schema}")
            if found != self.wanted:
                raise Failed(f"it loaded {found} of {self.wanted} rows")
        return Candidate(name, lambda: commands(schema), role, before=fresh, after=counted)

    def unpacked(self):
        if not self.dumped.exists():
            raise Failed("there is no dump by mysqldump")
        return Command(["zcat", self.dumped])

    def myloader(self, schema):
        if not (self.folder_of_mydumper / "metadata").exists():
            raise Failed("there is no dump by mydumper")
        return [Command(["myloader", self.server.defaults, "-d", self.folder_of_mydumper, "-s", self.schema, "-B", schema])]

    def make_files(self, schema):
        """Tables as the live ones, without triggers and foreign keys, and the rows in files that the server itself wrote."""
        folder = self.folder / "rows"
        if not folder.exists():
            folder.mkdir(mode=0o777)
            self.columns = {table: [] for table in self.tables}
            for line in self.server.sql(f"SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = '{self.schema}' "
                                        "AND extra NOT LIKE '%GENERATED%' ORDER BY table_name, ordinal_position").split("\n")[:-1]:
                table, column = line.split("\t")
                self.columns.get(table, []).append(f"`{column}`")
            self.server.sql("".join(f"SELECT {', '.join(self.columns[table])} INTO OUTFILE '{folder}/{number}' CHARACTER SET binary FROM `{table}`;\n"
                                    for number, table in enumerate(self.tables)), self.schema)
        self.server.sql("".join(f"CREATE TABLE `{schema}`.`{table}` LIKE `{self.schema}`.`{table}`;\n" for table in self.tables))

    def load_data(self, schema):
        script = self.folder / "load.sql"
        script.write_text("SET SESSION sql_mode = 'NO_AUTO_VALUE_ON_ZERO', sql_log_bin = 0, foreign_key_checks = 0, unique_checks = 0;\n" + "".join(
            f"LOAD DATA INFILE '{self.folder}/rows/{number}' INTO TABLE `{table}` CHARACTER SET binary ({', '.join(self.columns[table])});\n"
            for number, table in enumerate(self.tables)))
        return [self.server.client(schema, stdin=script)]

    # ---- changes ------------------------------------------------------------------------------------------------------------

    def change(self, which):
        """One UPDATE of one DATETIME for each table with an id and a DATETIME."""
        where = "id > @floor" if which == "newest" else "id % 100 = 0"
        tables = self.server.sql(
            "SELECT t.table_name, MIN(CONCAT(FIELD(c.column_name, 'updated_at', 'created_at') = 0, c.column_name)) FROM information_schema.tables t "
            "JOIN information_schema.columns i ON i.table_schema = t.table_schema AND i.table_name = t.table_name AND i.column_name = 'id' "
            "JOIN information_schema.columns c ON c.table_schema = t.table_schema AND c.table_name = t.table_name AND c.data_type = 'datetime' "
            f"WHERE t.table_schema = '{self.schema}' AND t.table_type = 'BASE TABLE' GROUP BY t.table_name").split("\n")[:-1]
        self.changes += 1
        moment = f"'2026-02-03 04:00:00' + INTERVAL {self.changes} SECOND"
        statements = "".join(f"SET @floor = (SELECT MAX(id) - FLOOR(COUNT(*) / 100) FROM `{table}`);\n"
                             f"UPDATE `{table}` SET `{column[1:]}` = {moment} WHERE {where}; SELECT ROW_COUNT();\n"
                             for table, column in (line.split("\t") for line in tables))
        changed = sum(int(line) for line in self.server.sql(statements, self.schema).split())
        return f"{changed} of {self.wanted} rows"


def roads_of(kind):
    return {kind: functools.partial(SystemDatabase, kind=kind),
            **{f"{kind}-{shape}": functools.partial(SystemDatabase, kind=kind, shape=shape) for shape in SHAPES}}


ROADS_OF_MYSQL, ROADS_OF_MARIADB = roads_of("mysql"), roads_of("mariadb")
