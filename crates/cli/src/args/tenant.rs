//! The options of `restore --tenant`.

use clap::Args;
use clap::builder::NonEmptyStringValueParser;

/// Rows of one tenant that go back alone.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct OneTenant {
    /// Put back this tenant alone, into the live stores, which stay and go on serving: its rows, the usage of its products, Backend's configuration for them. The number of its account, a
    /// domain of it, or the name of its organisation. With --service: one product of it only
    #[arg(
        long,
        value_name = "TENANT",
        group = "part",
        env = "THREESCALE_BACKUP_RESTORE_TENANT",
        value_parser = NonEmptyStringValueParser::new(),
        conflicts_with_all = ["only", "in_place", "queues", "hold_for", "no_hold", "rewrite", "objects", "remove_extra", "large_values"]
    )]
    pub tenant: Option<String>,
    /// With --tenant: tables that are left out otherwise: audits, deleted_objects, event_store_events, user_sessions
    #[arg(long, value_name = "TABLE,…", value_delimiter = ',', env = "THREESCALE_BACKUP_RESTORE_WITH")]
    pub with: Vec<String>,
    /// With --tenant: put back its rows alone; files, and usage and configuration in Backend, stay as they are
    #[arg(long, env = "THREESCALE_BACKUP_ROWS_ONLY", conflicts_with = "usage")]
    pub rows_only: bool,
}
