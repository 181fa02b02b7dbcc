//! Cuts `SHOW CREATE TABLE` apart: what a table needs from the start, and what is quicker to add when the rows are in.
//!
//! Knows the statement's outer form only: a list of definitions in parentheses, each beginning with a column's name or a keyword.

use plan::{Error, Result};

/// A table's definition, cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Definition {
    /// `CREATE TABLE` without secondary keys and foreign keys.
    pub(crate) create: String,
    /// Secondary keys: `KEY …`, `UNIQUE KEY …`, `FULLTEXT KEY …`.
    pub(crate) keys: Vec<String>,
    /// `CONSTRAINT … FOREIGN KEY …`.
    pub(crate) foreign_keys: Vec<String>,
    /// `CHECK` constraints of their own; they stay in the `CREATE`.
    pub(crate) checks: Vec<String>,
}

enum Part {
    Stays,
    Key,
    ForeignKey,
    Check,
}

/// Cuts a statement; keys for which `keep` is true stay in the `CREATE`.
pub(crate) fn cut(statement: &str, keep: impl Fn(&str) -> bool) -> Result<Definition> {
    let odd = || Error::failed("a table's definition has an unknown form").hint("Please report this with the output of SHOW CREATE TABLE.");
    let open = scan(statement, 0, |depth, byte| depth == 1 && byte == b'(').ok_or_else(odd)?;
    let mut definition = Definition {
        create: statement.get(..=open).ok_or_else(odd)?.to_owned(),
        keys: Vec::new(),
        foreign_keys: Vec::new(),
        checks: Vec::new(),
    };
    let mut stays = Vec::new();
    let mut at = open + 1;
    loop {
        let end = scan(statement, at, |depth, byte| (depth == 0 && byte == b',') || (depth == -1 && byte == b')')).ok_or_else(odd)?;
        let item = statement.get(at..end).ok_or_else(odd)?.trim();
        match kind(item) {
            Part::Key if !keep(item) => definition.keys.push(item.to_owned()),
            Part::ForeignKey => definition.foreign_keys.push(item.to_owned()),
            Part::Check => {
                definition.checks.push(item.to_owned());
                stays.push(item);
            }
            Part::Stays | Part::Key => stays.push(item),
        }
        at = end + 1;
        if statement.as_bytes().get(end) == Some(&b')') {
            definition.create.push_str("\n  ");
            definition.create.push_str(&stays.join(",\n  "));
            definition.create.push('\n');
            definition.create.push_str(statement.get(end..).ok_or_else(odd)?);
            return Ok(definition);
        }
    }
}

fn kind(item: &str) -> Part {
    let after_name = if let Some(rest) = item.strip_prefix("CONSTRAINT ") { skip_name(rest) } else { item };
    let starts = |word: &str| after_name.starts_with(word);
    if starts("FOREIGN KEY") {
        Part::ForeignKey
    } else if starts("CHECK") {
        Part::Check
    } else if ["KEY ", "UNIQUE KEY ", "FULLTEXT KEY ", "SPATIAL KEY ", "VECTOR KEY ", "INDEX ", "UNIQUE INDEX "].into_iter().any(starts) {
        Part::Key
    } else {
        Part::Stays
    }
}

/// What follows a name in backticks.
fn skip_name(text: &str) -> &str {
    let bytes = text.as_bytes();
    let mut at = 0;
    while bytes.get(at) == Some(&b'`') {
        match end_of_quote(bytes, at) {
            Some(end) => at = end + 1,
            None => break,
        }
    }
    text.get(at..).unwrap_or_default().trim_start()
}

/// The name of a key in its definition: the first name in backticks.
pub(crate) fn key_name(item: &str) -> String {
    let Some((_, rest)) = item.split_once('`') else { return String::new() };
    let mut name = String::new();
    let mut characters = rest.chars().peekable();
    while let Some(character) = characters.next() {
        if character == '`' {
            if characters.peek() != Some(&'`') {
                break;
            }
            characters.next();
        }
        name.push(character);
    }
    name
}

/// The moment that a TIMESTAMP column has by default, as the definition writes it.
pub(crate) fn moment_of(create: &str, column: &str) -> Option<String> {
    let start = format!("{} timestamp", crate::quote::name(column));
    let line = create.lines().map(str::trim_start).find(|line| line.starts_with(&start))?;
    let (_, moment) = line.split_once(" DEFAULT '")?;
    moment.split_once('\'').map(|(moment, _)| moment.to_owned())
}

/// A text without a quoted qualifier (`` `db`. ``) where one stands before a name in backticks, outside of texts in quotes.
pub(crate) fn without_qualifier(text: &str, qualifier: &str) -> String {
    let (bytes, mut out, mut kept, mut at) = (text.as_bytes(), String::new(), 0, 0);
    while let Some(&byte) = bytes.get(at) {
        let Some(end) = matches!(byte, b'\'' | b'"' | b'`').then(|| end_of_quote(bytes, at)).flatten() else {
            at += 1;
            continue;
        };
        // A doubled backtick goes on with the name: that is another one.
        let rest = text.get(at..).unwrap_or_default();
        let is_begin = at == 0 || bytes.get(at - 1) != Some(&b'`');
        if byte == b'`' && is_begin && rest.strip_prefix(qualifier).is_some_and(|rest| rest.starts_with('`')) {
            out.push_str(text.get(kept..at).unwrap_or_default());
            at += qualifier.len();
            kept = at;
        } else {
            at = end + 1;
        }
    }
    out.push_str(text.get(kept..).unwrap_or_default());
    out
}

/// Finds the first byte outside of quotes that `wanted` accepts, from `start`; depth counts parentheses, that byte's own included.
fn scan(text: &str, start: usize, wanted: impl Fn(i32, u8) -> bool) -> Option<usize> {
    let bytes = text.as_bytes();
    let (mut depth, mut at) = (0, start);
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'\'' | b'"' | b'`' => at = end_of_quote(bytes, at)?,
            _ => {
                match byte {
                    b'(' => depth += 1,
                    b')' => depth -= 1,
                    _ => {}
                }
                if wanted(depth, byte) {
                    return Some(at);
                }
            }
        }
        at += 1;
    }
    None
}

/// The position of the quote that ends the one at `start`; a doubled quote begins the next piece at once, which is the same.
fn end_of_quote(bytes: &[u8], start: usize) -> Option<usize> {
    let quote = *bytes.get(start)?;
    let mut at = start + 1;
    loop {
        match *bytes.get(at)? {
            b'\\' if quote != b'`' => at += 1,
            byte if byte == quote => return Some(at),
            _ => {}
        }
        at += 1;
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    const ODD: &str = "CREATE TABLE `a``(,b` (
  `id` bigint NOT NULL AUTO_INCREMENT COMMENT 'it\\'s, (KEY `x`)',
  `KEY ` enum('a,b',')','it''s') DEFAULT 'a,b',
  `g` int GENERATED ALWAYS AS (if((`id` > 1),'(',`id`)) VIRTUAL,
  PRIMARY KEY (`id`),
  UNIQUE KEY `u` (`KEY `(3)),
  KEY `f` (((`id` + 1))) /*!80000 INVISIBLE */,
  CONSTRAINT `FOREIGN KEY` FOREIGN KEY (`id`) REFERENCES `b` (`id`) ON DELETE CASCADE,
  CONSTRAINT `a``b` CHECK ((`id` <> ','))
) ENGINE=InnoDB COMMENT='x)'
/*!50100 PARTITION BY RANGE (`id`)
(PARTITION p0 VALUES LESS THAN (10) ENGINE = InnoDB) */";

    #[test]
    fn keys_and_foreign_keys_are_cut_and_nothing_else() {
        let cut = cut(ODD, |_| false).unwrap();
        assert_eq!(cut.keys, ["UNIQUE KEY `u` (`KEY `(3))", "KEY `f` (((`id` + 1))) /*!80000 INVISIBLE */"]);
        assert_eq!(cut.foreign_keys, ["CONSTRAINT `FOREIGN KEY` FOREIGN KEY (`id`) REFERENCES `b` (`id`) ON DELETE CASCADE"]);
        assert_eq!(cut.checks, ["CONSTRAINT `a``b` CHECK ((`id` <> ','))"]);
        assert!(cut.create.contains("`KEY ` enum('a,b',')','it''s') DEFAULT 'a,b',\n"));
        assert!(cut.create.contains("CONSTRAINT `a``b` CHECK ((`id` <> ','))\n) ENGINE=InnoDB COMMENT='x)'\n/*!50100 PARTITION"));
        assert_eq!(key_name("UNIQUE KEY `a``b` (`c`)"), "a`b");
    }

    #[test]
    fn what_shall_stay_stays() {
        let cut = cut(ODD, |_| true).unwrap();
        assert!(cut.keys.is_empty() && cut.create.contains("UNIQUE KEY `u`"));
        assert!(!cut.create.contains("FOREIGN KEY ("));
    }

    #[test]
    fn an_unknown_form_is_an_error() {
        assert!(super::cut("CREATE TABLE `a` LIKE `b`", |_| false).is_err());
        assert!(super::cut("CREATE TABLE `a` (`b` int", |_| false).is_err());
    }
}
