//! What a task's log tells people: how far it is, and its last words. Pure. Logs of System may quote addresses with passwords: those are masked.

/// How many of the last lines stand in an error.
const LAST: usize = 10;

/// The lines of a log; progress counters overwrite theirs with a carriage return.
fn lines(log: &str) -> impl DoubleEndedIterator<Item = &str> {
    log.split(['\n', '\r']).map(str::trim).filter(|line| !line.is_empty())
}

/// The last word on progress: `Rewriting services: 50% completed`.
pub(super) fn progress(log: &str) -> Option<String> {
    let lines: Vec<_> = lines(log).collect();
    let last = lines.iter().rposition(|line| line.contains('%'))?;
    let about = lines.get(..last).unwrap_or_default().iter().rfind(|line| !line.contains('%'));
    let percent = masked(lines.get(last)?);
    Some(about.map_or_else(|| percent.clone(), |about| format!("{}: {percent}", masked(about))))
}

/// The last lines, each a hint of an error.
pub(super) fn last_words(log: &str) -> Vec<String> {
    let mut last: Vec<_> = lines(log).rev().take(LAST).map(masked).collect();
    last.reverse();
    last
}

/// A line without the secrets that such lines have: passwords in URLs, and values of variables that are named after secrets.
pub(super) fn masked(line: &str) -> String {
    const LONGEST: usize = 300;
    let words: Vec<_> = line.split(' ').map(|word| without_value(&without_login(word))).collect();
    let mut text = words.join(" ");
    if let Some((end, _)) = text.char_indices().nth(LONGEST) {
        text.truncate(end);
        text.push('…');
    }
    text
}

/// `redis://:secret@host` → `redis://***@host`. Up to the last `@` of the word, as passwords are not always encoded; once for each URL in it.
fn without_login(word: &str) -> String {
    let Some((before, rest)) = word.split_once("://") else { return word.to_owned() };
    let (own, next) = rest.find("://").map_or((rest, None), |at| {
        // What stands before the next `://` is its scheme, which has only letters.
        let letters = rest[..at].bytes().rev().take_while(u8::is_ascii_alphanumeric).count();
        (&rest[..at - letters], Some(&rest[at - letters..]))
    });
    let own = own.rsplit_once('@').map_or_else(|| own.to_owned(), |(_, host)| format!("***@{host}"));
    format!("{before}://{own}{}", next.map(without_login).unwrap_or_default())
}

/// `DB_PASSWORD=x` → `DB_PASSWORD=***`.
fn without_value(word: &str) -> String {
    for mark in ['=', ':'] {
        let Some((name, value)) = word.split_once(mark) else { continue };
        let upper = name.to_ascii_uppercase();
        if !value.is_empty() && ["PASSWORD", "SECRET", "TOKEN", "PASSWD"].iter().any(|part| upper.contains(part)) {
            return format!("{name}{mark}***");
        }
    }
    word.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_says_of_what() {
        let log = "Rewriting services\n  50% completed\n  100% completed\nRewriting metrics\n   10% completed\r   20% completed\n";
        assert_eq!(progress(log).as_deref(), Some("Rewriting metrics: 20% completed"));
        assert_eq!(progress("ok\n"), None);
    }

    #[test]
    fn no_password_is_in_what_is_shown() {
        for (line, shown) in [
            ("cannot reach redis://:p%40ss@host:6379/1 now", "cannot reach redis://***@host:6379/1 now"),
            ("mysql2://root:a@b/c@db:3306/system", "mysql2://***@db:3306/system"),
            ("http://a:b@c,redis://:d@e", "http://***@c,redis://***@e"),
            ("see https://example.com/a", "see https://example.com/a"),
            ("DB_PASSWORD=hello access_token:abc", "DB_PASSWORD=*** access_token:***"),
        ] {
            assert_eq!(masked(line), shown);
        }
    }

    #[test]
    fn only_the_last_lines_are_kept() {
        let log: String = (0..50).map(|number| format!("line {number}\n")).collect();
        let words = last_words(&log);
        assert_eq!(words.len(), 10);
        assert_eq!(words.last().map(String::as_str), Some("line 49"));
    }
}
