//! What `verify` tells, as a document.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{World, text};

/// Differences by kind, with how many there are.
pub fn kinds(document: &Value) -> BTreeMap<String, u64> {
    let all = document["differences"].as_array().unwrap();
    all.iter().map(|kind| (kind["kind"].as_str().unwrap().to_owned(), kind["count"].as_u64().unwrap())).collect()
}

/// The same, as a test writes it down.
pub fn told(kinds: &[(&str, u64)]) -> BTreeMap<String, u64> {
    kinds.iter().map(|(kind, count)| ((*kind).to_owned(), *count)).collect()
}

/// The document of a command that ends with this code.
pub fn document(world: &World, code: i32, arguments: &[&str]) -> Value {
    let output = world.run(&[arguments, &["--json"]].concat());
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}\n{}", text(&output.stdout), text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}
