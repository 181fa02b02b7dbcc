//! Whether what was given makes sense, all of it, also what this command does not use. Values are never repeated: one of them could be a secret.

use plan::{Error, Result};
use toml::Value;

use super::keys::SECTIONS;
use super::nearest::nearest;
use super::table::{Form, Kind, Place, Section};
use super::values::{Given, Values};

/// A name longer than this fits into nothing that is made of it.
const NAME_LENGTH_MAX: usize = 63;

/// All that is wrong.
pub(super) fn errors(values: &Values) -> Vec<Error> {
    let mut errors: Vec<_> = values.all().iter().filter_map(|given| kind(given).err()).collect();
    let copies = values.copies();
    let copies = copies.iter().map(|name| Section::of_copy(name));
    let sections = SECTIONS.iter().filter(|section| values.has(section.name) && section.copy().is_none()).chain(copies);
    errors.extend(sections.filter_map(|section| self::section(values, section).err()));
    errors.extend(values.get("installation", "name").and_then(|given| name(given).err()));
    errors
}

fn kind(given: &Given) -> Result<()> {
    let Given { place, value, origin } = given;
    let wrong = |what: &str, hint: String| Err(Error::refused(format!("{origin}: {place} is not {what}")).hint(hint));
    match (place.kind(), value) {
        (Kind::Truth, Value::Boolean(_)) => Ok(()),
        (Kind::Truth, _) => wrong("true or false", "Write true or false, without quotes.".to_owned()),
        (Kind::Number(least, most), value) => {
            let number = match value {
                Value::Integer(number) => Some(*number),
                // As the environment gives it.
                Value::String(text) => text.parse().ok(),
                _ => None,
            };
            match number {
                Some(number) if (least..=most).contains(&number) => Ok(()),
                _ => wrong(&format!("a number from {least} to {most}"), "Write a whole number, without quotes.".to_owned()),
            }
        }
        (Kind::Word(words), Value::String(text)) if words.contains(&text.as_str()) => Ok(()),
        (Kind::Word(words), Value::String(text)) => Err(unknown_word(given, words, text)),
        (Kind::Text, Value::String(_)) => Ok(()),
        (_, Value::String(text)) if text.trim().is_empty() => Err(Error::refused(format!("{origin}: {place} is empty"))),
        (_, Value::String(_)) => Ok(()),
        _ => wrong("text", "Write it in quotes.".to_owned()),
    }
}

fn unknown_word(given: &Given, words: &[&str], text: &str) -> Error {
    let Given { place, origin, .. } = given;
    // A word of a section in which no secret stands may be repeated.
    let shown = if place.section.has_secrets() { String::new() } else { format!(" = {text:?}") };
    let error = Error::refused(format!("{origin}: {place}{shown} is not known"));
    let error = match nearest(text, words.iter().copied()).filter(|word| !word.is_empty()) {
        Some(meant) => error.hint(format!("Did you mean {meant:?}?")),
        None => error,
    };
    let words: Vec<_> = words.iter().filter(|word| !word.is_empty()).map(|word| format!("{word:?}")).collect();
    error.hint(format!("It is one of {}.", words.join(", ")))
}

fn section(values: &Values, section: &'static Section) -> Result<()> {
    let origin = values.origin_of(section.name).map(ToString::to_string).unwrap_or_default();
    if values.is_true(section.name, "absent") {
        let others: Vec<_> = values.of(section.name).filter(|given| given.place.key.name != "absent").collect();
        if let Some(other) = others.first() {
            return Err(Error::refused(format!("{}: [{}] is absent and has {}", other.origin, section.name, other.place.written()))
                .hint("Leave out `absent = true`, or all else in the section."));
        }
        return Ok(());
    }
    for one in values.of(section.name) {
        let mut forms: Vec<_> = values.of(section.name).filter(|other| is_same_key(&one.place, &other.place)).collect();
        if forms.len() > 1 {
            forms.sort_by_key(|given| given.place.form);
            let written: Vec<_> = forms.iter().map(|given| given.place.written()).collect();
            return Err(Error::refused(format!("{}: [{}] has {}", one.origin, one.place.header(), written.join(" and ")))
                .hint("Leave one of them."));
        }
    }
    let says_only_that_it_is_there = section.data_set().is_some() && values.of(section.name).any(|given| given.place.key.name == "absent");
    let nothing_else = values.of(section.name).all(|given| given.place.key.name == "absent");
    if says_only_that_it_is_there && nothing_else {
        return Ok(());
    }
    let is_given = |name: &str| values.of(section.name).any(|given| given.place.table.is_none() && given.place.key.name == name);
    match section.keys.iter().find(|key| key.is_required && !is_given(key.name)) {
        None => Ok(()),
        Some(key) => {
            let way_out = format!("Write `{} = {}` in [{}].", key.name, key.example, section.name);
            let absent = section.data_set().map(|name| format!(" Or `absent = true`, if this installation has no {name}."));
            Err(Error::refused(format!("{origin}: [{}] has no {}", section.name, key.name)).hint(way_out + &absent.unwrap_or_default()))
        }
    }
}

fn is_same_key(one: &Place, other: &Place) -> bool {
    one.header() == other.header() && one.key.name == other.key.name
}

/// Whether this can be a copy's name: it becomes part of a section, of a variable and of a record.
///
/// # Errors
/// [`plan::Class::Refused`] when it cannot.
pub(super) fn check_copy_name(text: &str) -> Result<()> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let is_name =
        text.len() <= NAME_LENGTH_MAX && text.bytes().all(fits) && text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    if is_name {
        return Ok(());
    }
    Err(Error::refused(format!("{text:?} cannot be the name of a copy"))
        .hint(format!("It is 1 to {NAME_LENGTH_MAX} letters, digits, dashes and underscores, and begins with a letter or digit.")))
}

fn name(given: &Given) -> Result<()> {
    let Some(text) = given.value.as_str().filter(|_| given.place.form == Form::Itself) else { return Ok(()) };
    check_name(text).map_err(|error| Error::refused(format!("{}: {error}", given.origin)).hint(error.hints().join(" ")))
}

/// Whether this can be an installation's name: it becomes part of names in stores, tags and file names.
///
/// # Errors
/// [`plan::Class::Refused`] when it cannot.
pub(crate) fn check_name(text: &str) -> Result<()> {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric();
    let fits = |byte: u8| is_letter(byte) || matches!(byte, b'-' | b'_' | b'.');
    let is_name = text.len() <= NAME_LENGTH_MAX && text.bytes().all(fits) && text.bytes().next().is_some_and(is_letter);
    if is_name {
        return Ok(());
    }
    Err(Error::refused(format!("{text:?} cannot be the name of an installation"))
        .hint(format!("It is 1 to {NAME_LENGTH_MAX} letters, digits, dashes, underscores and dots, and begins with a letter or digit.")))
}
