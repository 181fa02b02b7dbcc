//! The system database: which tables there are, with how many rows; schema, triggers and procedure.

mod accounts;
mod bulk;
pub(crate) mod load;
mod products;

use super::row::Rows;
use super::shape::Shape;
pub(crate) use bulk::backend_events as newest_event;
pub(crate) use products::limit;

/// A table and how its rows are made.
pub(crate) struct Table {
    pub(crate) name: &'static str,
    /// Bytes of a row, about: for shares of the size and for portions of the load.
    pub(crate) row_bytes: u64,
    pub(crate) rows: fn(&Shape) -> u64,
    /// Writes row n (from 1), columns in the order of the table.
    pub(crate) row: fn(&Shape, u64, &mut Rows),
}

const fn table(name: &'static str, row_bytes: u64, rows: fn(&Shape) -> u64, row: fn(&Shape, u64, &mut Rows)) -> Table {
    Table { name, row_bytes, rows, row }
}

/// All tables that are filled; `heartbeats` belongs to the writers.
pub(crate) fn tables() -> impl Iterator<Item = &'static Table> {
    products::TABLES.iter().chain(accounts::TABLES).chain(bulk::TABLES)
}

/// System name of a service's n-th metric, in the order of [`Shape::metric`].
pub(crate) const fn metric_name(nth: u64) -> &'static str {
    products::METRICS[(nth % 4) as usize]
}

/// Statements that make the tables.
pub(crate) fn schema() -> impl Iterator<Item = &'static str> {
    let is_statement = |line: &&str| !line.starts_with("--") && !line.is_empty();
    include_str!("system/schema.sql").lines().filter(is_statement).map(|line| line.trim_end_matches(';'))
}

/// `sp_invoices_friendly_id`, without which invoices get no number (and nobody notices).
pub(crate) const PROCEDURE: &str = include_str!("system/procedure.sql");

/// porta's triggers `<table>_tenant_id`, with the master's id (1) baked in: a NULL `tenant_id` is filled at an insert.
/// The rows here hold NULLs that such a trigger would rewrite.
pub(crate) fn triggers() -> impl Iterator<Item = String> {
    const BY_ACCOUNT: &str = "SELECT tenant_id FROM accounts WHERE id = NEW.account_id AND tenant_id <> 1";
    const BY_PROVIDER: &str = "SELECT tenant_id FROM accounts WHERE id = NEW.provider_id AND tenant_id <> 1";
    const BY_SERVICE: &str = "SELECT tenant_id FROM services WHERE id = NEW.service_id AND tenant_id <> 1";
    const BY_APPLICATION: &str = "SELECT tenant_id FROM cinstances WHERE id = NEW.application_id AND tenant_id <> 1";
    const BY_PLAN: &str = "SELECT tenant_id FROM plans WHERE id = NEW.plan_id AND tenant_id <> 1";
    [
        ("accounts", "IF(NEW.master, NULL, IF(NEW.provider, NEW.id, NEW.provider_account_id))"),
        ("settings", BY_ACCOUNT),
        ("users", BY_ACCOUNT),
        ("profiles", BY_ACCOUNT),
        ("services", BY_ACCOUNT),
        ("policies", BY_ACCOUNT),
        ("payment_gateway_settings", BY_ACCOUNT),
        ("proxies", BY_SERVICE),
        ("metrics", BY_SERVICE),
        ("service_tokens", BY_SERVICE),
        ("plans", "SELECT tenant_id FROM services WHERE id = NEW.issuer_id AND tenant_id <> 1"),
        ("features", "SELECT tenant_id FROM services WHERE id = NEW.featurable_id AND tenant_id <> 1"),
        ("proxy_configs", "SELECT tenant_id FROM proxies WHERE id = NEW.proxy_id AND tenant_id <> 1"),
        ("usage_limits", BY_PLAN),
        ("cinstances", BY_PLAN),
        ("application_keys", BY_APPLICATION),
        ("referrer_filters", BY_APPLICATION),
        ("invoices", "SELECT tenant_id FROM accounts WHERE id = NEW.provider_account_id AND tenant_id <> 1"),
        ("line_items", "SELECT tenant_id FROM invoices WHERE id = NEW.invoice_id AND tenant_id <> 1"),
        ("cms_files", BY_PROVIDER),
        ("cms_templates", BY_PROVIDER),
        ("log_entries", BY_PROVIDER),
        ("event_store_events", BY_PROVIDER),
        ("audits", BY_PROVIDER),
        ("messages", "SELECT tenant_id FROM accounts WHERE id = NEW.sender_id AND tenant_id <> 1"),
        ("alerts", "SELECT tenant_id FROM cinstances WHERE id = NEW.cinstance_id AND tenant_id <> 1"),
        ("access_tokens", "SELECT tenant_id FROM users WHERE id = NEW.owner_id AND tenant_id <> 1"),
        ("member_permissions", "SELECT tenant_id FROM users WHERE id = NEW.user_id AND tenant_id <> 1"),
    ]
    .into_iter()
    .map(|(table, tenant)| {
        format!(
            "CREATE TRIGGER {table}_tenant_id BEFORE INSERT ON {table} FOR EACH ROW\n  \
             SET NEW.tenant_id = IF(@disable_triggers IS NULL AND NEW.tenant_id IS NULL, ({tenant}), NEW.tenant_id)"
        )
    })
}
