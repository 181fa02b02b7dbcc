//! Quotes names and values for statements, and names for paths.
//!
//! Every name is quoted, always: the database of System is called `system`, a reserved word. Never builds a whole statement.

/// A name in backticks.
pub(crate) fn name(text: &str) -> String {
    format!("`{}`", text.replace('`', "``"))
}

/// A schema-qualified name.
pub(crate) fn qualified(schema: &str, object: &str) -> String {
    format!("{}.{}", name(schema), name(object))
}

/// A text literal in UTF-8, whatever the session's `sql_mode` or character set.
pub(crate) fn text(text: &str) -> String {
    if text.is_empty() {
        return "''".into();
    }
    format!("_utf8mb4 x'{}'", hex::encode(text))
}

/// A comment in a definition, where the server takes no other literal: for sessions whose `sql_mode` lets a backslash escape.
pub(crate) fn comment(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

/// `user@host`, as a server writes it, as an account in a statement.
pub(crate) fn account(text: &str) -> String {
    text.rsplit_once('@').map_or_else(|| comment(text), |(user, host)| format!("{}@{}", comment(user), comment(host)))
}

/// A literal of raw bytes in a character set; `binary` for none.
pub(crate) fn bytes(bytes: &[u8], charset: &str) -> String {
    if bytes.is_empty() {
        return format!("_{charset} ''");
    }
    format!("_{charset} x'{}'", hex::encode(bytes))
}

/// A comma-separated list of quoted names.
pub(crate) fn names<'a>(texts: impl IntoIterator<Item = &'a str>) -> String {
    texts.into_iter().map(name).collect::<Vec<_>>().join(", ")
}

/// A table's name as a file name: bytes that trouble a shell or a path are written `%XX`, all others stay (64 characters stay under 255 bytes).
pub(crate) fn file_name(table: &str) -> String {
    let mut out = String::with_capacity(table.len());
    for character in table.chars() {
        if character.is_ascii_alphanumeric() || matches!(character, '_' | '$' | '-') || !character.is_ascii() {
            out.push(character);
        } else {
            out.push_str(&format!("%{:02X}", u32::from(character)));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backtick_in_a_name_is_doubled() {
        assert_eq!(qualified("system", "a`b"), "`system`.`a``b`");
    }

    #[test]
    fn file_names_hold_no_slash_and_no_dot() {
        assert_eq!(file_name("../a b%é"), "%2E%2E%2Fa%20b%25é");
    }
}
