//! How many documents a search index has: searchd (Manticore, Sphinx) speaks the protocol of MySQL, wants no login and knows no session's settings.
//!
//! Sources: Sphinx 2.2 manual, "SphinxQL reference"; Manticore manual, "MySQL protocol".

use line::Limits;
use mysql::prelude::Queryable;
use plan::{Error, Result};

use crate::address::Address;
use crate::session::{code, connect};

/// searchd takes any name.
const USER: &str = "threescale-backup";
/// What searchd says of an index that it does not have (MySQL's code for a statement that cannot be parsed), in these words.
const NO_SUCH_INDEX: [&str; 3] = ["no such index", "no such local index", "unknown local"];

/// Counts the documents of each index; `None` for one that searchd does not have. `names` are written into the statement as they are.
///
/// # Errors
/// When searchd does not answer, or refuses.
pub fn documents((host, port): (&str, u16), limits: &Limits, names: &[&'static str]) -> Result<Vec<(&'static str, Option<u64>)>> {
    // No database is named at the login: searchd has none.
    let address = Address::new(host, port, USER, USER)?.with_limits(limits.clone());
    let (mut conn, line) = connect(&address, None)?;
    let mut found = Vec::new();
    for name in names {
        let waiting = line.as_ref().map(line::Line::waiting);
        let counted = conn.query_first::<u64, _>(format!("SELECT COUNT(*) FROM {name}"));
        drop(waiting);
        found.push((*name, of_index(name, counted).map_err(|error| line.as_ref().and_then(line::Line::fault).unwrap_or(error))?));
    }
    Ok(found)
}

fn of_index(name: &str, counted: mysql::Result<Option<u64>>) -> Result<Option<u64>> {
    match counted {
        Ok(counted) => Ok(Some(counted.unwrap_or_default())),
        Err(mysql::Error::MySqlError(refusal)) => {
            let words = refusal.message.to_ascii_lowercase();
            if refusal.code == code::NO_SUCH_TABLE || NO_SUCH_INDEX.iter().any(|known| words.contains(known)) {
                return Ok(None);
            }
            Err(Error::failed(format!("searchd does not count {name}")).because(refusal))
        }
        Err(error) => Err(Error::transient(format!("searchd did not answer when it was asked for {name}")).because(error)),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn refused(code: u16, message: &str) -> mysql::Result<Option<u64>> {
        let (state, message) = ("42000".to_owned(), message.to_owned());
        Err(mysql::Error::MySqlError(mysql::MySqlError { state, message, code }))
    }

    #[test]
    fn an_index_that_is_not_there_is_none_and_another_refusal_is_an_error() {
        assert_eq!(of_index("i", Ok(Some(7))).unwrap(), Some(7));
        // Sphinx 2.2, Manticore 6, and a server of MySQL's.
        for (code, words) in
            [(1064, "no such index i"), (1064, "unknown local table(s) 'i' in search request"), (1146, "Table 'x.i' doesn't exist")]
        {
            assert_eq!(of_index("i", refused(code, words)).unwrap(), None, "{words}");
        }
        of_index("i", refused(1064, "sphinxql: syntax error")).unwrap_err();
    }
}
