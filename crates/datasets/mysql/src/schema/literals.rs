//! Definitions as bytes, made into text that means the same.
//!
//! A server shows a definition in the character set of the client that made it, but for the bytes after an introducer (`_latin1'…'`) and, on MariaDB, those of a
//! binary default: they are what they are, in no character set of the session. Converted with the rest they would become others, and they may be no text at all.
//! So such literals are written in hexadecimal.

/// How strings are written in a definition.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Writing {
    /// A backslash is a character as others (`NO_BACKSLASH_ESCAPES`).
    pub(crate) plain_backslash: bool,
    /// Double quotes are for names (`ANSI_QUOTES`).
    pub(crate) names_in_double_quotes: bool,
}

impl Writing {
    /// Of a `sql_mode`.
    pub(crate) fn of(sql_mode: &str) -> Self {
        let has = |word: &str| sql_mode.split(',').any(|mode| mode.eq_ignore_ascii_case(word));
        Self { plain_backslash: has("NO_BACKSLASH_ESCAPES"), names_in_double_quotes: has("ANSI_QUOTES") }
    }
}

/// The text of a definition: `raw` is what the server holds, `shown` the same converted to UTF-8. Literals that are not the same in both senses are taken from
/// `raw`. Whatever else is no UTF-8 is replaced: it was no text for the server either.
pub(crate) fn text(raw: &[u8], shown: &[u8], writing: Writing) -> String {
    let (of_raw, of_shown) = (literals(raw, writing), literals(shown, writing));
    if of_raw.len() != of_shown.len() {
        return String::from_utf8_lossy(shown).into_owned();
    }
    let (mut out, mut at) = (String::new(), 0);
    for (is, seen) in of_raw.iter().zip(&of_shown) {
        let content = raw.get(is.start + 1..is.end).unwrap_or_default();
        let is_text = std::str::from_utf8(shown.get(seen.start..=seen.end).unwrap_or_default()).is_ok();
        if content.is_ascii() || (is_text && !is.introduced) {
            continue;
        }
        out.push_str(&String::from_utf8_lossy(shown.get(at..seen.start).unwrap_or_default()));
        let separator = if is.introduced { " " } else { "" };
        out.push_str(&format!("{separator}X'{}'", hex::encode_upper(unescaped(content, is.quote, writing))));
        at = seen.end + 1;
    }
    out.push_str(&String::from_utf8_lossy(shown.get(at..).unwrap_or_default()));
    out
}

/// A string literal: the positions of its quotes.
struct Literal {
    start: usize,
    end: usize,
    quote: u8,
    /// After `_charset`.
    introduced: bool,
}

fn literals(text: &[u8], writing: Writing) -> Vec<Literal> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        let rest = text.get(at..).unwrap_or_default();
        let end = match byte {
            b'\'' | b'"' | b'`' => {
                let is_name = byte == b'`' || (byte == b'"' && writing.names_in_double_quotes);
                let end = end_of(text, at, byte, is_name || writing.plain_backslash);
                if !is_name {
                    found.push(Literal { start: at, end, quote: byte, introduced: is_introduced(text.get(..at).unwrap_or_default()) });
                }
                end
            }
            b'#' => at + line(rest),
            b'-' if rest.starts_with(b"--") && rest.get(2).is_none_or(|next| next.is_ascii_whitespace()) => at + line(rest),
            // What only some versions run is run.
            b'/' if rest.starts_with(b"/*") && !rest.starts_with(b"/*!") && !rest.starts_with(b"/*M!") => {
                at + memchr::memmem::find(rest, b"*/").map_or(rest.len(), |end| end + 1)
            }
            _ => at,
        };
        at = end + 1;
    }
    found
}

/// Length of the rest of a line.
fn line(rest: &[u8]) -> usize {
    memchr::memchr(b'\n', rest).unwrap_or(rest.len())
}

/// The quote that ends the one at `start`; the end of the text when there is none.
fn end_of(text: &[u8], start: usize, quote: u8, plain_backslash: bool) -> usize {
    let mut at = start + 1;
    while let Some(&byte) = text.get(at) {
        if byte == b'\\' && !plain_backslash {
            at += 1;
        } else if byte == quote {
            if text.get(at + 1) != Some(&quote) {
                return at;
            }
            at += 1;
        }
        at += 1;
    }
    text.len()
}

/// Whether a text ends with `_charset`, which is no part of a longer word.
fn is_introduced(before: &[u8]) -> bool {
    let before = before.trim_ascii_end();
    let word = before.iter().rev().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_' || **byte == b'$').count();
    let start = before.len() - word;
    word > 1 && before.get(start) == Some(&b'_') && !matches!(start.checked_sub(1).and_then(|at| before.get(at)), Some(b'@' | b'`' | b'.'))
}

fn unescaped(content: &[u8], quote: u8, writing: Writing) -> Vec<u8> {
    let mut out = Vec::with_capacity(content.len());
    let mut bytes = content.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' if !writing.plain_backslash => match bytes.next() {
                Some(b'0') => out.push(0),
                Some(b'n') => out.push(b'\n'),
                Some(b't') => out.push(b'\t'),
                Some(b'r') => out.push(b'\r'),
                Some(b'b') => out.push(8),
                Some(b'Z') => out.push(26),
                // For LIKE.
                Some(other @ (b'%' | b'_')) => out.extend([b'\\', other]),
                Some(other) => out.push(other),
                None => {}
            },
            _ if byte == quote => {
                bytes.next();
                out.push(byte);
            }
            _ => out.push(byte),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PLAIN: Writing = Writing { plain_backslash: false, names_in_double_quotes: false };

    #[test]
    fn bytes_after_an_introducer_are_written_in_hexadecimal() {
        let raw = b"select _latin1'\xe9' AS `b\xe9`, '\xe9', _utf8mb4 X'C3A9' -- don't '\xe9'\n, _latin1'a\\'\xe9'''";
        let shown = "select _latin1'é' AS `bé`, 'é', _utf8mb4 X'C3A9' -- don't 'é'\n, _latin1'a\\'é'''".as_bytes();
        assert_eq!(text(raw, shown, PLAIN), "select _latin1 X'E9' AS `bé`, 'é', _utf8mb4 X'C3A9' -- don't 'é'\n, _latin1 X'6127E927'");
    }

    #[test]
    fn what_is_no_text_is_written_in_hexadecimal() {
        let raw = b"`b` binary(4) NOT NULL DEFAULT '\\0\xff\\0\xfe' COMMENT 'it''s'";
        assert_eq!(text(raw, raw, PLAIN), "`b` binary(4) NOT NULL DEFAULT X'00FF00FE' COMMENT 'it''s'");
    }

    #[test]
    fn the_mode_says_what_a_quote_is() {
        let raw = b"select _latin1'\\', \"\xe9\"";
        let odd = Writing::of("ANSI_QUOTES,NO_BACKSLASH_ESCAPES");
        assert_eq!(text(raw, "select _latin1'\\', \"é\"".as_bytes(), odd), "select _latin1'\\', \"é\"");
    }

    proptest! {
        /// Whatever the bytes are: no panic, and text without such literals is what it was.
        #[test]
        fn any_bytes_become_text(raw in proptest::collection::vec(proptest::sample::select(b"'\"`\\_a#-*/ \n\xe9\xc3\xa9x!".to_vec()), 0..40)) {
            for writing in [PLAIN, Writing::of("ANSI_QUOTES"), Writing::of("NO_BACKSLASH_ESCAPES")] {
                let made = text(&raw, &raw, writing);
                if raw.is_ascii() {
                    prop_assert_eq!(made.as_bytes(), raw.as_slice());
                }
            }
        }
    }
}
