//! Which product is meant: found by its number or its system name.

use plan::{Error, Result};
use serde::Serialize;

use super::{Id, id};

/// The columns of `services` that are read for it, in this order.
pub const SERVICE_COLUMNS: &[&str] = &["id", "account_id", "system_name", "name"];
/// So many are named when none is meant.
const NAMED_MAX: usize = 20;

/// A product.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Product {
    /// Its number, which stands in Backend's keys.
    pub id: Id,
    /// Whose it is.
    pub account_id: Id,
    /// Its name for programs, unique among those of an account.
    pub system_name: String,
    /// Its name for people.
    pub name: String,
}

/// Reads products, and finds the one that is meant. Holds those that are meant, and a few others to be named.
#[derive(Debug)]
pub struct Products {
    wanted: String,
    of: Option<Id>,
    by_id: Option<Product>,
    by_name: Vec<Product>,
    some: Vec<String>,
}

impl Products {
    /// Of this tenant, or of any.
    #[must_use]
    pub fn new(wanted: &str, of: Option<Id>) -> Self {
        Self { wanted: wanted.trim().to_owned(), of, by_id: None, by_name: Vec::new(), some: Vec::new() }
    }

    /// A product, by [`SERVICE_COLUMNS`].
    pub fn service(&mut self, cells: &[Option<&[u8]>]) {
        let cell = |at: usize| cells.get(at).copied().flatten();
        let text = |at: usize| String::from_utf8_lossy(cell(at).unwrap_or_default()).into_owned();
        let (Some(number), Some(account_id)) = (id(cell(0)), id(cell(1))) else { return };
        if self.of.is_some_and(|of| of != account_id) {
            return;
        }
        let product = Product { id: number, account_id, system_name: text(2), name: text(3) };
        if self.wanted == number.to_string() {
            self.by_id = Some(product);
        } else if self.wanted == product.system_name {
            self.by_name.push(product);
        } else if self.some.len() < NAMED_MAX {
            self.some.push(format!("{number} ({:?})", product.system_name));
        }
    }

    /// The one that is meant.
    ///
    /// # Errors
    /// [`plan::Class::Refused`] when it is none, or several.
    pub fn found(mut self) -> Result<Product> {
        if let Some(product) = self.by_id {
            return Ok(product);
        }
        let whose = self.of.map(|of| format!(" of tenant {of}")).unwrap_or_default();
        match (self.by_name.len(), self.by_name.pop()) {
            (1, Some(product)) => Ok(product),
            (0, _) => {
                let failed = Error::refused(format!("the set has no product {:?}{whose}", self.wanted));
                Err(if self.some.is_empty() {
                    failed
                } else {
                    failed.hint(format!("Among those that there are: {}.", self.some.join("; ")))
                })
            }
            (several, last) => {
                let all = self.by_name.iter().chain(&last).take(NAMED_MAX);
                let named: Vec<_> = all.map(|product| format!("{} of tenant {}", product.id, product.account_id)).collect();
                Err(Error::refused(format!("{several} products{whose} are called {:?}", self.wanted))
                    .hint(format!("Name the number of one: {}.", named.join("; "))))
            }
        }
    }
}
