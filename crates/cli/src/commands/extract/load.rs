//! The rows of an extract as statements that its kind of server's own client loads: in one transaction, rows of others untouched, nothing in place of what is there.

use plan::ports::StoreKind;

/// How values are read: rows have the bytes of their columns, whatever their character sets; instants are of UTC; a zero is no new id.
const MYSQL_BEGIN: &str = "SET NAMES binary;\n\
    SET SESSION sql_mode = 'NO_AUTO_VALUE_ON_ZERO,STRICT_ALL_TABLES,ALLOW_INVALID_DATES', time_zone = '+00:00', foreign_key_checks = 1, unique_checks = 1;\n\
    SET @disable_triggers = 1;\nSTART TRANSACTION;\n";
const POSTGRES_BEGIN: &str = "\\set ON_ERROR_STOP on\nSET client_encoding = 'UTF8';\nSET standard_conforming_strings = on;\nBEGIN;\n";

/// Holds, until the transaction ends, the statements that make triggers work again: of those that did.
const AGAIN: &str = "threescale_backup.triggers";

/// Puts the triggers of a table off that are at work.
fn off(name: &str) -> String {
    let table = name.replace('\'', "''");
    format!(
        "DO $off$ DECLARE one record; BEGIN \
         FOR one IN SELECT tgname, CASE tgenabled WHEN 'A' THEN 'ENABLE ALWAYS' ELSE 'ENABLE' END AS again FROM pg_trigger \
         WHERE tgrelid = '{table}'::regclass AND NOT tgisinternal AND tgenabled IN ('O', 'A') LOOP \
         EXECUTE format('ALTER TABLE %s DISABLE TRIGGER %I', '{table}', one.tgname); \
         PERFORM set_config('{AGAIN}', COALESCE(current_setting('{AGAIN}', true), '') || \
         format('ALTER TABLE %s %s TRIGGER %I;', '{table}', one.again, one.tgname), true); END LOOP; END $off$;\n"
    )
}

/// See the module.
pub(in crate::commands) struct Load {
    is_postgres: bool,
    tables: Vec<String>,
}

impl Load {
    /// For a kind of server; what is loaded first.
    pub(in crate::commands) fn begin(kind: &StoreKind) -> (Self, String) {
        let is_postgres = *kind == StoreKind::PostgreSql;
        let begin = if is_postgres { POSTGRES_BEGIN } else { MYSQL_BEGIN };
        (Self { is_postgres, tables: Vec::new() }, begin.to_owned())
    }

    /// A row.
    pub(in crate::commands) fn row(&mut self, table: &str, columns: &[String], cells: &[Option<&[u8]>]) -> Vec<u8> {
        let mut statement = Vec::new();
        if !self.tables.iter().any(|known| known == table) {
            self.tables.push(table.to_owned());
            if self.is_postgres {
                // They would fill in what is NULL, and fail where they find nothing.
                statement.extend_from_slice(off(&self.name(table)).as_bytes());
            }
        }
        let names: Vec<_> = columns.iter().map(|column| self.name(column)).collect();
        // Columns that the server alone would number are numbered as they were.
        let numbered = if self.is_postgres { " OVERRIDING SYSTEM VALUE" } else { "" };
        statement.extend_from_slice(format!("INSERT INTO {} ({}){numbered} VALUES (", self.name(table), names.join(", ")).as_bytes());
        for (at, cell) in cells.iter().enumerate() {
            if at > 0 {
                statement.extend_from_slice(b", ");
            }
            match cell {
                None => statement.extend_from_slice(b"NULL"),
                Some(bytes) => self.literal(bytes, &mut statement),
            }
        }
        statement.extend_from_slice(b");\n");
        statement
    }

    /// What is loaded last. Numbers go on behind those of the rows; no counter goes back.
    pub(in crate::commands) fn end(self) -> String {
        let mut text = String::new();
        for table in self.tables.iter().filter(|_| self.is_postgres) {
            let name = self.name(table);
            let has_id = format!(
                "SELECT 1 FROM information_schema.columns WHERE table_schema = 'public' AND table_name = '{0}' AND column_name = 'id'",
                table.replace('\'', "''")
            );
            let sequence = format!("pg_get_serial_sequence('public.{}', 'id')", name.replace('\'', "''"));
            text.push_str(&format!(
                "DO $raise$ BEGIN IF EXISTS ({has_id}) THEN IF {sequence} IS NOT NULL THEN \
                 PERFORM setval({sequence}, GREATEST(nextval({sequence}), (SELECT MAX(id) FROM {name}))); END IF; END IF; END $raise$;\n"
            ));
        }
        if self.is_postgres {
            text.push_str(&format!("DO $again$ BEGIN EXECUTE COALESCE(current_setting('{AGAIN}', true), ''); END $again$;\n"));
        }
        text.push_str("COMMIT;\n");
        text
    }

    fn name(&self, name: &str) -> String {
        if self.is_postgres { format!("\"{}\"", name.replace('"', "\"\"")) } else { format!("`{}`", name.replace('`', "``")) }
    }

    fn literal(&self, bytes: &[u8], to: &mut Vec<u8>) {
        to.push(b'\'');
        for &byte in bytes {
            match (self.is_postgres, byte) {
                (true, b'\'') => to.extend_from_slice(b"''"),
                (true, _) => to.push(byte),
                (false, 0) => to.extend_from_slice(b"\\0"),
                (false, b'\n') => to.extend_from_slice(b"\\n"),
                (false, b'\r') => to.extend_from_slice(b"\\r"),
                (false, 0x1a) => to.extend_from_slice(b"\\Z"),
                (false, b'\\' | b'\'') => to.extend_from_slice(&[b'\\', byte]),
                (false, _) => to.push(byte),
            }
        }
        to.push(b'\'');
    }
}
