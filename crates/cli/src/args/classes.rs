//! The options of `restore --classes`.

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, ValueEnum};
use threescale::keys::Class;

/// Keys of Redis that go back alone.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Classes {
    /// Put back keys of these classes alone, into the live Redis of Backend and of System, which stay and go on serving: usage, errors, events, counter, record,
    /// customer-record, guard; `inspect` counts them
    #[arg(
        long,
        value_name = "A,B",
        value_delimiter = ',',
        value_parser = class,
        group = "part",
        env = "THREESCALE_BACKUP_CLASSES",
        conflicts_with_all = ["only", "in_place", "queues", "hold_for", "no_hold", "rewrite", "objects", "remove_extra", "large_values"]
    )]
    pub classes: Vec<Class>,
    /// Only keys of these services (of --classes), by their ids as `inspect` lists them; or only this product (of --tenant), by its id or system name
    #[arg(long, value_name = "ID", value_delimiter = ',', env = "THREESCALE_BACKUP_SERVICE", value_parser = NonEmptyStringValueParser::new())]
    pub service: Vec<String>,
    /// With --classes usage, or --tenant: what a counter of usage becomes, the larger one of the set's and the live one (max), the set's (set), or both together (add) [default: max]
    #[arg(long, value_enum, value_name = "HOW", env = "THREESCALE_BACKUP_USAGE")]
    pub usage: Option<UsageChoice>,
}

/// What a counter of traffic becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum UsageChoice {
    /// The larger one: none goes down
    Max,
    /// What the set has: some may go down
    Set,
    /// Both together: where the live ones began from nothing
    Add,
}

/// A class of keys that can go back alone.
fn class(name: &str) -> std::result::Result<Class, String> {
    threescale::merging::class_of(name)
}
