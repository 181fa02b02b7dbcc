//! Which files belong to a tenant: by the rows that name them, because the prefix of a tenant's folder is not unique (facts 11.9).

use std::collections::HashMap;

use serde::Serialize;

use super::{Id, id};
use crate::verify::{cms_file, pdf_file};

/// Files that rows of a tenant name.
#[derive(Debug, Default)]
pub struct Named {
    /// The ends of their paths (`FILE`, `invoices/ID/pdfs/original/FILE`).
    ends: HashMap<Vec<u8>, One>,
    /// Accounts with a logo: `ACCOUNT/profiles/logos/STYLE/FILE`.
    logos: HashMap<Id, One>,
}

/// A file, and the row that names it.
#[derive(Debug, Clone, Copy)]
struct One {
    table: &'static str,
    row: Option<Id>,
    /// Whether the file was seen.
    is_seen: bool,
    /// Whether it was seen elsewhere.
    is_elsewhere: bool,
}

/// A file that a row names and that is nowhere.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Lost {
    /// The table of the row.
    pub table: &'static str,
    /// The row's number.
    pub row: Option<Id>,
    /// The end of the file's path.
    pub file: String,
}

impl Named {
    /// A row that belongs, of any table.
    pub fn row(&mut self, table: &str, columns: &[String], cells: &[Option<&[u8]>]) {
        let cell = |name: &str| columns.iter().position(|column| column == name).and_then(|at| cells.get(at).copied().flatten());
        let one = |table| One { table, row: id(cell("id")), is_seen: false, is_elsewhere: false };
        match table {
            "cms_files" => {
                if let (Some(name), Some(secret)) = (cell("attachment_file_name"), cell("random_secret")) {
                    self.ends.entry(cms_file(name, secret)).or_insert_with(|| one("cms_files"));
                }
            }
            "invoices" => {
                if let (Some(invoice), Some(name)) = (id(cell("id")), cell("pdf_file_name")) {
                    self.ends.insert(pdf_file(invoice, name), one("invoices"));
                }
            }
            "profiles" if cell("logo_file_name").is_some() => {
                self.logos.extend(id(cell("account_id")).map(|account| (account, one("profiles"))));
            }
            _ => {}
        }
    }

    fn one(&mut self, path: &[u8]) -> Option<&mut One> {
        let parts: Vec<&[u8]> = path.split(|&byte| byte == b'/').collect();
        match parts.as_slice() {
            [.., account, b"profiles", b"logos", _style, _name] => id(Some(account)).and_then(|account| self.logos.get_mut(&account)),
            [.., b"invoices", invoice, b"pdfs", b"original", name] => {
                self.ends.get_mut(&[b"invoices", *invoice, b"pdfs", b"original", *name].join(&b'/'))
            }
            [.., name] => self.ends.get_mut(*name),
            [] => None,
        }
    }

    /// Whether a row that belongs names a file, by its path. The file is seen then.
    pub fn has(&mut self, path: &[u8]) -> bool {
        self.one(path).map(|one| one.is_seen = true).is_some()
    }

    /// A file that there is elsewhere, by its path.
    pub fn elsewhere(&mut self, path: &[u8]) {
        if let Some(one) = self.one(path) {
            one.is_elsewhere = true;
        }
    }

    /// How many are named, a logo in all its sizes as one.
    #[must_use]
    pub fn count(&self) -> usize {
        self.ends.len() + self.logos.len()
    }

    /// Of these, how many were not seen.
    #[must_use]
    pub fn missing(&self) -> usize {
        self.ends.values().chain(self.logos.values()).filter(|one| !one.is_seen).count()
    }

    /// Those that were seen nowhere, by their rows: how many, and the first.
    #[must_use]
    pub fn lost(&self, limit: usize) -> (usize, Vec<Lost>) {
        let is_lost = |one: &One| !one.is_seen && !one.is_elsewhere;
        let ends = self.ends.iter().map(|(end, one)| (one, String::from_utf8_lossy(end).into_owned()));
        let logos = self.logos.iter().map(|(account, one)| (one, format!("{account}/profiles/logos")));
        let lost = ends.chain(logos).filter(|(one, _)| is_lost(one));
        let mut lost: Vec<_> = lost.map(|(one, file)| Lost { table: one.table, row: one.row, file }).collect();
        lost.sort();
        let count = lost.len();
        lost.truncate(limit);
        (count, lost)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_seen_nowhere_is_told_with_its_row() {
        let mut named = Named::default();
        let columns = |names: &str| names.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let cms = columns("id attachment_file_name random_secret");
        for row in ["7", "8", "9"] {
            named.row("cms_files", &cms, &[Some(row.as_bytes()), Some(b"a.png"), Some(if row == "9" { b"9f" } else { b"0f" })]);
        }
        let invoices = columns("id pdf_file_name");
        for row in ["3", "20"] {
            named.row("invoices", &invoices, &[Some(row.as_bytes()), Some(b"i.pdf")]);
        }
        named.row("invoices", &invoices, &[Some(b"4"), None]);
        named.row("profiles", &columns("id account_id logo_file_name"), &[Some(b"5"), Some(b"2000"), Some(b"l.png")]);
        assert_eq!((named.count(), named.missing(), named.lost(9).0), (5, 5, 5));
        assert!(named.has(b"x/2026/a-9f.png") && !named.has(b"x/2026/b.png"));
        named.elsewhere(b"x/invoices/3/pdfs/original/i.pdf");
        assert_eq!(named.missing(), 4);
        let lost = |table, row, file: &str| Lost { table, row: Some(row), file: file.to_owned() };
        let all = [
            lost("cms_files", 7, "a-0f.png"),
            lost("invoices", 20, "invoices/20/pdfs/original/i.pdf"),
            lost("profiles", 5, "2000/profiles/logos"),
        ];
        assert_eq!(named.lost(9), (3, all.to_vec()));
        assert_eq!(named.lost(2), (3, all[..2].to_vec()));
    }
}
