//! Files that rows name. Source: porta's `config/initializers/paperclip.rb`, `app/models/cms/file.rb`, `app/models/invoice.rb`.
//!
//! The prefix of a tenant's folder is not unique (facts 11.9), and the date in a path is that of a time zone: so a file of the CMS is known by its name, which has a secret of its own
//! in it, and an invoice by its id.

use plan::Result;

use super::atom::{Atom, Side, Topic};
use super::{Atoms, Veil};

/// The name of a file of `cms_files`: `BASENAME-SECRET.EXTENSION`.
pub(crate) fn cms(name: &[u8], secret: &[u8]) -> Vec<u8> {
    let dot = name.iter().rposition(|&byte| byte == b'.').filter(|&at| at > 0);
    let (stem, extension) = dot.map_or((name, &b"."[..]), |at| name.split_at(at));
    [stem, b"-", secret, extension].concat()
}

/// The end of the path of an invoice's PDF: `invoices/ID/pdfs/original/NAME`.
pub(crate) fn pdf(invoice: u64, name: &[u8]) -> Vec<u8> {
    [format!("invoices/{invoice}/pdfs/original/").as_bytes(), name].concat()
}

/// Takes the files that there are.
#[derive(Clone, Copy)]
pub struct Files(Veil);

impl Files {
    /// `veil`: the same as for the rows.
    #[must_use]
    pub const fn new(veil: Veil) -> Self {
        Self(veil)
    }

    /// A file by its path.
    ///
    /// # Errors
    /// When there is no room to sort it.
    pub fn file(self, path: &[u8], size_bytes: u64, atoms: &mut Atoms<'_>) -> Result<()> {
        let parts: Vec<&[u8]> = path.split(|&byte| byte == b'/').collect();
        let name = match parts.as_slice() {
            [.., b"invoices", id, b"pdfs", b"original", name] => [b"invoices/".as_slice(), id, b"/pdfs/original/", name].concat(),
            [.., name] => name.to_vec(),
            [] => return Ok(()),
        };
        let item = self.0.of(&name);
        let value = size_bytes.to_string();
        atoms.push(&Atom { service: b"", application: b"", topic: Topic::File, item: &item, side: Side::Backend, value: value.as_bytes() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_paperclip() {
        assert_eq!(cms(b"logo.big.png", b"0f"), b"logo.big-0f.png");
        assert_eq!(cms(b"README", b"0f"), b"README-0f.");
        assert_eq!(cms(b".hidden", b"0f"), b".hidden-0f.");
        assert_eq!(pdf(7, b"a.pdf"), b"invoices/7/pdfs/original/a.pdf");
    }
}
