//! The one place where an error's chain is printed: what failed, because of what, and the way out.

use plan::Error;
use serde::Serialize;
use std::error::Error as _;

use super::commands_in_text::with_program;
use super::standard_error::{Weight, tell, tell_in_one_line};

/// An error as `--json` tells it, on standard error.
#[derive(Serialize)]
pub(super) struct ErrorDocument {
    schema_version: u32,
    error: String,
    causes: Vec<String>,
    hints: Vec<String>,
    class: plan::Class,
    exit_code: u8,
    /// What was warned of before.
    warned: Vec<String>,
}

pub(super) fn error_document(error: &Error, warned: Vec<String>) -> ErrorDocument {
    ErrorDocument {
        schema_version: super::SCHEMA_VERSION,
        error: error.to_string(),
        causes: causes(error),
        hints: error.hints().iter().map(|hint| with_program(hint)).collect(),
        class: error.class(),
        exit_code: error.class().exit_code(),
        warned,
    }
}

/// As `--json` tells it.
pub(crate) fn error_json(error: &Error, warned: Vec<String>) -> String {
    serde_json::to_string(&error_document(error, warned)).unwrap_or_default()
}

/// On standard error; when that is gone there is nobody to tell, and the exit code still says it.
pub(crate) fn print_error(error: &Error, json: bool, warned: Vec<String>) {
    if json {
        tell_in_one_line(Weight::Error, &error_json(error, warned));
    } else {
        tell(Weight::Error, &error_text(error));
    }
}

/// What failed, because of what, and the way out, a line each.
pub(crate) fn error_text(error: &Error) -> String {
    let causes = causes(error).into_iter().map(|cause| format!("  because: {cause}"));
    let hints = error.hints().iter().map(|hint| format!("  hint: {}", with_program(hint)));
    std::iter::once(format!("error: {error}")).chain(causes).chain(hints).collect::<Vec<_>>().join("\n")
}

fn causes(error: &Error) -> Vec<String> {
    let mut causes: Vec<String> = Vec::new();
    let mut next = error.source();
    while let Some(cause) = next {
        let text = cause.to_string();
        // Some foreign errors repeat their source in their own message.
        if causes.last().is_none_or(|last| !last.contains(&text)) {
            causes.push(text);
        }
        next = cause.source();
    }
    causes
}
