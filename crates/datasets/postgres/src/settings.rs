//! The settings of a session on which depends what is read or written, each at one value, whatever a role, a database or a server prefers; for our own
//! sessions and for the programs of PostgreSQL. `tests/settings.rs` compares the list with `pg_settings` of every version at hand.

use crate::sql::literal;

/// A setting and its value.
pub(crate) struct Pinned {
    pub(crate) name: &'static str,
    /// In the setting's own unit, as `pg_settings` has it.
    pub(crate) value: &'static str,
    /// The first major version that has it; 13 for older ones, too.
    since: u32,
    /// Whether `pg_dump`, `pg_restore` and `psql` get it, too. They set themselves what their own texts depend on; the currency of an archive's `money` is the
    /// database's.
    programs: bool,
}

const fn ours(name: &'static str, value: &'static str) -> Pinned {
    Pinned { name, value, since: 13, programs: false }
}

const fn all(name: &'static str, value: &'static str, since: u32) -> Pinned {
    Pinned { name, value, since, programs: true }
}

/// All of them.
pub(crate) const PINNED: [Pinned; 34] = [
    // What the text of a value is.
    ours("DateStyle", "ISO, YMD"),
    ours("IntervalStyle", "postgres"),
    ours("TimeZone", "UTC"),
    ours("bytea_output", "hex"),
    ours("client_encoding", "UTF8"),
    ours("extra_float_digits", "3"),
    ours("lc_monetary", "C"),
    ours("lc_numeric", "C"),
    ours("lc_time", "C"),
    ours("xmlbinary", "base64"),
    ours("xmloption", "content"),
    all("quote_all_identifiers", "off", 13),
    // What a statement means.
    ours("search_path", "pg_catalog"),
    ours("standard_conforming_strings", "on"),
    all("array_nulls", "on", 13),
    all("transform_null_equals", "off", 13),
    // Which rows are seen: a hidden one is an error instead of one that is silently not there, and so is what cannot be read.
    ours("row_security", "off"),
    ours("gin_fuzzy_search_limit", "0"),
    ours("synchronize_seqscans", "off"),
    ours("restrict_nonsystem_relation_kind", ""),
    ours("ignore_checksum_failure", "off"),
    ours("zero_damaged_pages", "off"),
    ours("composite_type_mismatch", "error"),
    // What a transaction may do.
    all("default_transaction_deferrable", "off", 13),
    all("default_transaction_isolation", "read committed", 13),
    all("default_transaction_read_only", "off", 13),
    all("exit_on_error", "off", 13),
    // Where things are stored.
    ours("default_tablespace", ""),
    // How long one may wait, or work, or be idle: milliseconds.
    all("idle_in_transaction_session_timeout", "0", 13),
    all("idle_session_timeout", "0", 14),
    ours("lock_timeout", "60000"),
    all("statement_timeout", "0", 13),
    all("transaction_timeout", "0", 17),
    ours("client_min_messages", "warning"),
];

/// The statement that pins them: sets those that the server has and that stand otherwise. A role that may not set one (`zero_damaged_pages`, which a superuser has
/// set for it) gets the server's error.
pub(crate) fn pin() -> String {
    let wanted: Vec<_> = PINNED.iter().map(|one| format!("({}, {})", literal(one.name), literal(one.value))).collect();
    format!(
        "SELECT pg_catalog.set_config(s.name, wanted.value, false) FROM (VALUES {}) AS wanted (name, value), pg_catalog.pg_settings AS s \
         WHERE s.name OPERATOR(pg_catalog.=) wanted.name AND s.setting OPERATOR(pg_catalog.<>) wanted.value",
        wanted.join(", ")
    )
}

/// `PGOPTIONS` of PostgreSQL's programs for a server of a major version: it would refuse what it does not know.
pub(crate) fn of_programs(server_major: u32) -> String {
    let known = PINNED.iter().filter(|one| one.programs && one.since <= server_major);
    let options: Vec<_> = known.map(|one| format!("-c {}={}", one.name, one.value.replace('\\', r"\\").replace(' ', r"\ "))).collect();
    options.join(" ")
}
