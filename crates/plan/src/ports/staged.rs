//! The staged copy, for somebody who looks at it before it is swapped in.

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::{Error, Result};

/// How a staged copy is looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Staged {
    /// It answers questions ([`super::DataSet::ask_staged`]).
    Answers,
    /// It is a folder.
    Folder(PathBuf),
}

/// A question in the words of a client program of SQL: options of one letter, and one statement that reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// The statement, without a semicolon at its end.
    pub statement: String,
    flags: BTreeSet<char>,
}

impl Question {
    /// Reads the words. `statement`: the letter before the statement (`-e`, `-c`). `flags`: the letters that are known beside it. `reads`: what a statement that reads
    /// begins with.
    ///
    /// # Errors
    /// [`crate::Class::Refused`] when it is none.
    pub fn of(words: &[String], statement: char, flags: &str, reads: &[&str]) -> Result<Self> {
        let form = || format!("Write `-{statement} 'SELECT …'`; of the other options these are known: {}.", spaced(flags));
        let (mut found, mut text, mut words) = (BTreeSet::new(), None, words.iter());
        while let Some(word) = words.next() {
            let Some(letters) = word.strip_prefix('-').filter(|letters| !letters.is_empty() && !letters.starts_with('-')) else {
                return Err(Error::refused(format!("{word:?} is not known here")).hint(form()));
            };
            for (at, letter) in letters.char_indices() {
                if letter == statement {
                    let rest = letters.get(at + letter.len_utf8()..).unwrap_or_default();
                    text = if rest.is_empty() { words.next().cloned() } else { Some(rest.to_owned()) };
                    break;
                }
                if !flags.contains(letter) {
                    return Err(Error::refused(format!("-{letter} is not known here")).hint(form()));
                }
                found.insert(letter);
            }
        }
        let text = text.ok_or_else(|| Error::refused("there is no statement").hint(form()))?;
        let trimmed = text.trim().trim_end_matches(';').trim_end();
        let first = trimmed.split(|sign: char| !sign.is_ascii_alphabetic()).next().unwrap_or_default().to_uppercase();
        let is_within = trimmed.starts_with('(') && reads.contains(&"SELECT");
        if !is_within && !reads.contains(&first.as_str()) {
            return Err(Error::refused("the statement does not only read").hint(format!("It begins with one of {}.", reads.join(", "))));
        }
        Ok(Self { statement: trimmed.to_owned(), flags: found })
    }

    /// Whether an option of one letter was given.
    #[must_use]
    pub fn has(&self, flag: char) -> bool {
        self.flags.contains(&flag)
    }
}

fn spaced(flags: &str) -> String {
    flags.chars().map(|letter| format!("-{letter}")).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn question(words: &[&str]) -> Result<Question> {
        let words: Vec<_> = words.iter().map(|word| (*word).to_owned()).collect();
        Question::of(&words, 'e', "NB", &["SELECT", "SHOW"])
    }

    #[test]
    fn the_words_of_a_client_are_read() {
        assert_eq!(question(&["-e", "SELECT*FROM t"]).unwrap().statement, "SELECT*FROM t");
        for words in [&["-N", "-e", "SELECT 1;"][..], &["-Ne", "SELECT 1"], &["-BNeSELECT 1"]] {
            let question = question(words).unwrap();
            assert_eq!((question.statement.as_str(), question.has('N')), ("SELECT 1", true), "{words:?}");
        }
        assert!(!question(&["-e", " select(1) "]).unwrap().has('N'));
        assert_eq!(question(&["-e", "(SELECT 1) UNION (SELECT 2)"]).unwrap().statement, "(SELECT 1) UNION (SELECT 2)");
    }

    #[test]
    fn what_does_not_only_read_is_refused() {
        let wrong: [&[&str]; 8] = [
            &[],
            &["-e"],
            &["-e", ""],
            &["-e", "DELETE FROM t"],
            &["-e", "SELECTED"],
            &["-x", "-e", "SELECT 1"],
            &["SELECT 1"],
            &["--", "x"],
        ];
        for words in wrong {
            assert_eq!(question(words).unwrap_err().class(), crate::Class::Refused, "{words:?}");
        }
    }
}
