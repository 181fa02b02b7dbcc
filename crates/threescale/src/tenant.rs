//! Which rows, keys and files belong to one tenant, or to one product of a tenant.
//!
//! How a row of each table belongs to somebody is data (`data/tenant-paths.tsv`). The column `tenant_id` decides where it names a tenant; where it is NULL or the master's, as for the metrics of a
//! backend API and for a provider's own application, the row belongs to whom the rows that it refers to belong. So every row has one owner: a tenant, the master, or nobody.

#[cfg(test)]
pub(crate) use path::DATA;

mod belongings;
mod choice;
mod differing;
mod files;
mod path;
mod product;
mod wants;

pub use belongings::{Belongings, TENANT_ID, Tally};
pub use choice::{ACCOUNT_COLUMNS, Account, Tenants, Wanted};
pub use differing::{Compared, Differing, Side};
pub use files::{Lost, Named};
pub use path::{Extract, PATHS, Path, Rule, of_table};
pub use product::{Product, Products, SERVICE_COLUMNS};
pub use wants::WANTS;

/// Something that a set holds under a number of 3scale's.
pub type Id = u64;

/// Of the text of a cell.
#[must_use]
pub fn id(cell: Option<&[u8]>) -> Option<Id> {
    std::str::from_utf8(cell?).ok()?.parse().ok()
}

#[cfg(test)]
mod tests;
