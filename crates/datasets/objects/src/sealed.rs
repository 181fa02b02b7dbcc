//! Errors about Secrets: a server may quote the value that it refuses, and then the quote goes, with the rest of its text.

use plan::Error;
use serde_json::Value;

use crate::digest::decoded;
use crate::object::Object;

/// Values shorter than this are too common to be told from the words of an error.
const TELLING: usize = 4;

/// The error, without the server's text when it holds something of the Secret.
pub(crate) fn sealed(error: Error, object: &Object) -> Error {
    if !object.key.is_core("Secret") || !leaks(&error, &object.value) {
        return error;
    }
    Error::new(error.class(), format!("the server refuses {} (its words are not repeated: they quote the Secret)", object.key))
}

fn leaks(error: &Error, secret: &Value) -> bool {
    let text = format!("{error:?}");
    let entries = ["data", "stringData"].into_iter().filter_map(|field| secret.get(field)?.as_object()).flatten();
    entries.filter_map(|(_, value)| value.as_str()).any(|value| {
        let plain = decoded(value).and_then(|bytes| String::from_utf8(bytes).ok());
        let held = |value: &str| value.trim().len() >= TELLING && text.contains(value.trim());
        held(value) || plain.is_some_and(|plain| held(&plain) || plain.lines().any(held))
    })
}
