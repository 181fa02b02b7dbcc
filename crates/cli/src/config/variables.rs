//! The environment over the file: `THREESCALE_BACKUP_<SECTION>_<KEY>`, e.g. `THREESCALE_BACKUP_SYSTEM_DATABASE_URL`. A name that nobody knows is refused: it
//! was meant to say something.

use std::collections::BTreeSet;
use std::ffi::OsString;

use plan::{Error, Result};
use toml::Value;

use super::keys::COPY_EXAMPLE;
use super::nearest::nearest;
use super::table::{COPIES, Kind, Place, Section, as_variable, places};
use super::validate::check_copy_name;
use super::values::{Given, Origin, Values};

/// Variables that are neither options nor keys.
fn is_ours_otherwise(name: &str, rest: &str) -> bool {
    // Where the tests' own servers are: THREESCALE_BACKUP_MYSQL_PREFIX.
    let is_prefix = rest.strip_suffix("_PREFIX").is_some_and(|program| !program.is_empty() && !program.contains('_'));
    is_prefix || name == platforms::kubernetes::RESULT_MARK
}

/// Kubernetes gives every pod of a namespace variables for each Service in it. For one named `threescale-backup`, or `threescale-backup-…`, they begin as ours do.
fn is_of_a_service(rest: &str, value: &str) -> bool {
    let is_address = ["tcp://", "udp://", "sctp://"].iter().any(|scheme| value.starts_with(scheme));
    let is_number = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    let parts: Vec<_> = rest.split('_').collect();
    let ends = |end: &[&str]| parts.ends_with(end);
    let named_port = || parts.windows(2).any(|pair| pair == ["SERVICE", "PORT"]);
    let numbered_port = || {
        parts
            .windows(3)
            .any(|three| matches!(three, ["PORT", number, "TCP" | "UDP" | "SCTP"] if number.bytes().all(|byte| byte.is_ascii_digit())))
    };
    ends(&["SERVICE", "HOST"]) || named_port() && is_number || ends(&["PORT"]) && is_address || numbered_port()
}

/// Lays the variables over the file. `options` are the variables of the command line's own options.
pub(super) fn lay_over(values: &mut Values, variables: &[(OsString, OsString)], options: &BTreeSet<String>) -> Vec<Error> {
    let mut errors = Vec::new();
    let mut given = Vec::new();
    for (name, value) in variables {
        let name = name.to_string_lossy();
        let Some(rest) = name.strip_prefix(children::PREFIX) else { continue };
        let position = places().find_map(|place| Some((place.variables().iter().position(|known| *known == name)?, place)));
        let position = position.or_else(|| Some((0, of_copy(rest, &values.copies())?)));
        match position {
            // An empty one says nothing.
            Some(_) if value.is_empty() => {}
            Some((position, place)) => match typed(place, &name, value) {
                Ok(value) => given.push((position, Given { place, value, origin: Origin::Variable(name.into_owned()) })),
                Err(error) => errors.push(error),
            },
            None if options.contains(name.as_ref())
                || is_ours_otherwise(&name, rest)
                || is_of_a_service(rest, &value.to_string_lossy()) => {}
            None => errors.push(unknown(&name, options)),
        }
    }
    // The short name of a key goes before its long one.
    given.sort_by_key(|(position, _)| *position);
    refuse_two_forms(&given, &mut errors);
    given.into_iter().for_each(|(_, given)| values.replace(given));
    errors
}

/// `COPIES_<NAME>_<KEY>`: of a copy that the file names, or of a new one, whose name has small letters and dashes then.
fn of_copy(rest: &str, known: &[&'static str]) -> Option<Place> {
    let rest = rest.strip_prefix(&as_variable(COPIES))?.strip_prefix('_')?;
    let own = |copy: &str| format!("{}{}_{}_", children::PREFIX, as_variable(COPIES), as_variable(copy));
    let key = |place: &Place, copy: &str| place.variable().strip_prefix(&own(copy)).map(ToOwned::to_owned);
    for copy in known {
        let wanted = rest.strip_prefix(&as_variable(copy)).and_then(|key| key.strip_prefix('_'));
        if let Some(place) = Section::of_copy(copy).places().find(|place| wanted.is_some() && key(place, copy).as_deref() == wanted) {
            return Some(place);
        }
    }
    let example = Section::of(COPY_EXAMPLE)?;
    let keys = example.places().filter_map(|place| Some((key(&place, example.copy()?)?, place)));
    let longest =
        keys.filter(|(key, _)| rest.strip_suffix(key.as_str()).is_some_and(|name| name.ends_with('_'))).max_by_key(|(key, _)| key.len());
    let (key, place) = longest?;
    let name = rest.strip_suffix(key.as_str())?.strip_suffix('_')?.to_lowercase().replace('_', "-");
    check_copy_name(&name).ok()?;
    Section::of_copy(&name).place(place.table, &place.written())
}

/// Of two forms of one secret, nobody knows which was meant.
fn refuse_two_forms(given: &[(usize, Given)], errors: &mut Vec<Error>) {
    for (index, (_, one)) in given.iter().enumerate() {
        let is_same_key = |other: &Given| one.place.header() == other.place.header() && one.place.key.name == other.place.key.name;
        if let Some((_, other)) = given.iter().skip(index + 1).find(|(_, other)| is_same_key(other) && one.place.form != other.place.form) {
            errors.push(Error::refused(format!("{} and {} are both set", one.origin, other.origin)).hint("Leave one of them."));
        }
    }
}

/// The value as the file would have it.
fn typed(place: Place, name: &str, value: &OsString) -> Result<Value> {
    let text = value.to_str().ok_or_else(|| Error::refused(format!("{name} is not text")))?;
    Ok(match place.kind() {
        Kind::Truth => match text.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" | "1" => Value::Boolean(true),
            "false" | "no" | "off" | "0" => Value::Boolean(false),
            _ => return Err(Error::refused(format!("{name} is neither true nor false"))),
        },
        _ => Value::String(text.to_owned()),
    })
}

fn unknown(name: &str, options: &BTreeSet<String>) -> Error {
    let of_keys: Vec<_> = places().flat_map(|place| place.variables()).collect();
    let bare = |name: &'_ str| name.strip_prefix(children::PREFIX).unwrap_or(name).to_owned();
    let known: Vec<_> = of_keys.iter().chain(options).map(|name| bare(name)).collect();
    let error = Error::refused(format!("unknown environment variable {name}"));
    let error = match nearest(&bare(name), known.iter().map(String::as_str)) {
        Some(meant) => error.hint(format!("Did you mean {}{meant}?", children::PREFIX)),
        None => error,
    };
    error.hint("`threescale-backup config example` shows every key with its variable; `--help` those of the options. Unset it, or correct its name.")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn laid(file: &[(&str, &str)], variables: &[(&str, &str)]) -> (Values, Vec<String>) {
        let mut values = Values::default();
        for (variable, text) in file {
            if let Some(place) = places().find(|place| place.variable() == format!("{}{variable}", children::PREFIX)) {
                values.add(Given { place, value: Value::String((*text).to_owned()), origin: Origin::Variable("the file".to_owned()) });
            }
        }
        let variables: Vec<_> =
            variables.iter().map(|(name, value)| (format!("{}{name}", children::PREFIX).into(), (*value).into())).collect();
        let options = ["THREESCALE_BACKUP_NAMESPACE".to_owned(), "THREESCALE_BACKUP_WRITERS_ARE_STOPPED".to_owned()].into();
        let errors = lay_over(&mut values, &variables, &options);
        (values, errors.iter().map(|error| format!("{error:?}")).collect())
    }

    #[test]
    fn a_variable_replaces_every_form_of_a_secret() {
        let file = [("REPOSITORY_URL", "/a"), ("REPOSITORY_PASSWORD_FILE", "/k")];
        let (values, errors) = laid(&file, &[("REPOSITORY_PASSWORD_COMMAND", "cat /k2"), ("REPOSITORY_S3_REGION", "eu-1")]);
        assert!(errors.is_empty(), "{errors:?}");
        assert!(values.get("repository", "password-file").is_none());
        assert_eq!(values.text("repository", "password-command"), Some("cat /k2"));
        assert_eq!(values.text("repository.s3", "region"), Some("eu-1"));
        assert_eq!(values.text("repository", "url"), Some("/a"));
    }

    #[test]
    fn a_slip_is_refused_with_the_nearest_name_and_without_the_value() {
        let (_, errors) = laid(&[], &[("ZYNC_DATABSE_URL", "postgresql://zync:topsecret@h/z")]);
        assert!(errors[0].contains("unknown environment variable THREESCALE_BACKUP_ZYNC_DATABSE_URL"), "{errors:?}");
        assert!(errors[0].contains("Did you mean THREESCALE_BACKUP_ZYNC_DATABASE_URL?") && !errors[0].contains("topsecret"), "{errors:?}");
        let (_, errors) = laid(&[], &[("NAMESPCE", "x")]);
        assert!(errors[0].contains("Did you mean THREESCALE_BACKUP_NAMESPACE?"), "{errors:?}");
        assert_eq!(laid(&[], &[("SYSTEM_DATABASE_PORT", "3306")]).1.len(), 1, "a key that does not exist");
        assert_eq!(laid(&[], &[("REPOSITORY_S3_PREFIX", "x")]).1.len(), 1, "a key that does not exist");
        assert_eq!(laid(&[], &[("PASSWORD", "a"), ("REPOSITORY_PASSWORD_FILE", "/k")]).1.len(), 1, "two forms of one key");
    }

    #[test]
    fn options_test_servers_and_services_of_kubernetes_are_known() {
        let known = [
            ("NAMESPACE", "x"),
            ("WRITERS_ARE_STOPPED", "true"),
            ("MYSQL_PREFIX", "/opt/mysql"),
            ("RESULT_MARK", "result: "),
            ("SERVICE_HOST", "10.0.0.1"),
            ("SERVICE_PORT", "8080"),
            ("SERVICE_PORT_HTTP_METRICS", "8080"),
            ("PORT", "tcp://10.0.0.1:8080"),
            ("PORT_8080_TCP", "tcp://10.0.0.1:8080"),
            ("PORT_8080_TCP_PROTO", "tcp"),
            ("PORT_8080_TCP_PORT", "8080"),
            ("PORT_8080_TCP_ADDR", "10.0.0.1"),
            ("OPERATOR_SERVICE_HOST", "10.0.0.1"),
            ("OPERATOR_PORT_443_TCP_ADDR", "10.0.0.1"),
            ("SYSTEM_DATABASE_URL", ""),
        ];
        let (values, errors) = laid(&[], &known);
        assert!(errors.is_empty() && values.is_empty(), "{errors:?} {:?}", values.all());
    }

    #[test]
    fn a_copy_is_named_by_the_file_or_by_the_variable() {
        let (values, errors) =
            laid(&[("COPIES_OFFSITE_URL", "/a")], &[("COPIES_OFFSITE_PASSWORD_FILE", "/k"), ("COPIES_OFFSITE_S3_REGION", "eu-1")]);
        assert!(errors.is_empty() && values.copies() == ["offsite"], "{errors:?}");
        assert_eq!(values.text("copies.offsite", "password-file"), Some("/k"));
        assert_eq!(values.text("copies.offsite.s3", "region"), Some("eu-1"));
        let (values, errors) =
            laid(&[], &[("COPIES_A_B_SECOND_S3_ACCESS_KEY_ID", "id"), ("COPIES_A_B_SECOND_URL", "/a"), ("COPIES_X_AFTER_BACKUP", "yes")]);
        assert!(errors.is_empty() && values.copies().len() == 2, "{errors:?}");
        assert_eq!(values.text("copies.a-b-second.s3", "access-key-id"), Some("id"));
        assert!(values.is_true("copies.x", "after-backup"));
        for wrong in ["COPIES_URL", "COPIES_A_NOTHING", "COPIES__URL"] {
            assert_eq!(laid(&[], &[(wrong, "x")]).1.len(), 1, "{wrong}");
        }
    }

    #[test]
    fn every_variable_is_of_one_key() {
        let all: Vec<_> = places().flat_map(|place| place.variables()).collect();
        let different: BTreeSet<_> = all.iter().collect();
        assert_eq!(all.len(), different.len());
    }

    #[test]
    fn no_variable_with_a_secret_reaches_a_child() {
        for place in places() {
            let may_hold_a_secret = place.kind() != Kind::Path && (place.key.kind.is_secret() || place.key.kind == Kind::Addresses);
            for name in place.variables() {
                assert_eq!(children::is_secret(&name), may_hold_a_secret, "{name}");
            }
        }
    }
}
