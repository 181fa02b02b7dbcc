//! Which files belong to a tenant: by the rows that name them, because the prefix of a tenant's folder is not unique (facts 11.9).

use std::collections::HashMap;

use super::{Id, id};
use crate::verify::{cms_file, pdf_file};

/// Files that rows of a tenant name.
#[derive(Debug, Default)]
pub struct Named {
    /// The ends of their paths (`FILE`, `invoices/ID/pdfs/original/FILE`), each with whether the file was seen.
    ends: HashMap<Vec<u8>, bool>,
    /// Accounts with a logo, each with whether a file of it was seen: `ACCOUNT/profiles/logos/STYLE/FILE`.
    logos: HashMap<Id, bool>,
}

impl Named {
    /// A row that belongs, of any table.
    pub fn row(&mut self, table: &str, columns: &[String], cells: &[Option<&[u8]>]) {
        let cell = |name: &str| columns.iter().position(|column| column == name).and_then(|at| cells.get(at).copied().flatten());
        match table {
            "cms_files" => {
                if let (Some(name), Some(secret)) = (cell("attachment_file_name"), cell("random_secret")) {
                    self.ends.insert(cms_file(name, secret), false);
                }
            }
            "invoices" => {
                if let (Some(invoice), Some(name)) = (id(cell("id")), cell("pdf_file_name")) {
                    self.ends.insert(pdf_file(invoice, name), false);
                }
            }
            "profiles" if cell("logo_file_name").is_some() => self.logos.extend(id(cell("account_id")).map(|account| (account, false))),
            _ => {}
        }
    }

    /// Whether a row that belongs names a file, by its path.
    pub fn has(&mut self, path: &[u8]) -> bool {
        let parts: Vec<&[u8]> = path.split(|&byte| byte == b'/').collect();
        let seen = match parts.as_slice() {
            [.., account, b"profiles", b"logos", _style, _name] => id(Some(account)).and_then(|account| self.logos.get_mut(&account)),
            [.., b"invoices", invoice, b"pdfs", b"original", name] => {
                self.ends.get_mut(&[b"invoices", *invoice, b"pdfs", b"original", *name].join(&b'/'))
            }
            [.., name] => self.ends.get_mut(*name),
            [] => None,
        };
        seen.map(|seen| *seen = true).is_some()
    }

    /// How many are named, a logo in all its sizes as one.
    #[must_use]
    pub fn count(&self) -> usize {
        self.ends.len() + self.logos.len()
    }

    /// Of these, how many were not seen.
    #[must_use]
    pub fn missing(&self) -> usize {
        self.ends.values().chain(self.logos.values()).filter(|seen| !**seen).count()
    }
}
