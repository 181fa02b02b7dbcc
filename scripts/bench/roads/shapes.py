"""Shapes of data that are hard for a dump or a load: each makes about SIZE of rows by the server itself, in an empty schema."""

NUMBERS = "(WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 500) SELECT i FROM n)"


def filled(sql, table, columns, values, rows):
    """A table with `id` and `updated_at`, and so many rows, 500 at a time; `{id}` in the values is the row's number."""
    sql(f"CREATE TABLE {table} (id BIGINT PRIMARY KEY AUTO_INCREMENT, updated_at DATETIME, {columns})")
    each = ", ".join(value.format(id="({from} + i)") for value in values)
    statements = []
    for begin in range(0, rows, 500):
        statements.append(f"INSERT INTO {table} SELECT {begin} + i, '2026-01-05 10:00:00', {each.replace('{from}', str(begin))} "
                          f"FROM {NUMBERS} numbers WHERE i <= {min(500, rows - begin)};\n")
    for at in range(0, len(statements), 200):
        sql("SET SESSION foreign_key_checks = 0; " + "".join(statements[at:at + 200]))


def many_tables(sql, sizes):
    """What a table costs, whatever is in it."""
    count = sizes.small_tables
    sql("".join(f"CREATE TABLE t{number} (id BIGINT PRIMARY KEY AUTO_INCREMENT, updated_at DATETIME, name VARCHAR(255), tenant_id BIGINT, KEY (tenant_id));\n"
                f"INSERT INTO t{number} (updated_at, name, tenant_id) VALUES "
                + ", ".join(f"('2026-01-05 10:00:00', 'row {row}', {row % 7})" for row in range(100)) + ";\n" for number in range(count)))


def wide_rows(sql, sizes):
    """200 columns, about 4 KB a row."""
    columns = ", ".join(f"c{number} " + ("VARCHAR(64)" if number % 2 else "BIGINT") for number in range(200))
    values = [f"LEFT(SHA2({{id}} * {number + 1}, 256), 32)" if number % 2 else f"{{id}} * {number + 1}" for number in range(200)]
    filled(sql, "wide", columns, values, max(500, sizes.bytes // 4_000))


def one_table(sql, sizes):
    """Short rows with three keys: all of it is one table, and the keys are half of the work."""
    columns = "name VARCHAR(64), account_id BIGINT, state VARCHAR(20), amount DECIMAL(20,4), KEY (name), KEY (account_id, state)"
    values = ["LEFT(SHA2({id}, 256), 40)", "{id} % 5003", "ELT(1 + {id} % 3, 'live', 'pending', 'suspended')", "{id} / 7"]
    filled(sql, "events", columns, values, max(5_000, sizes.bytes // 100))


def blobs(sql, sizes):
    """Values of 200,000 bytes that no compressor makes smaller."""
    sql("CREATE TABLE blobs (id BIGINT PRIMARY KEY AUTO_INCREMENT, updated_at DATETIME, bytes LONGBLOB)")
    rows = max(100, sizes.bytes // 200_000)
    sql("SET SESSION group_concat_max_len = 1000000;\n" + "".join(
        "INSERT INTO blobs (updated_at, bytes) SELECT '2026-01-05 10:00:00', GROUP_CONCAT(RANDOM_BYTES(1000) SEPARATOR '') "
        f"FROM {NUMBERS} r JOIN {NUMBERS} b ON r.i <= {min(50, rows - begin)} AND b.i <= 200 GROUP BY r.i;\n" for begin in range(0, rows, 50)))


SHAPES = {"tables": many_tables, "wide": wide_rows, "one-table": one_table, "blobs": blobs}
