//! The one place where an error's chain is printed: what failed, because of what, and the way out.

use std::error::Error as _;
use std::io::{self, Write};

use plan::Error;
use plan::words::printable;
use serde::Serialize;

/// An error as `--json` tells it, on standard error.
#[derive(Serialize)]
struct ErrorDocument {
    schema_version: u32,
    error: String,
    causes: Vec<String>,
    hints: Vec<String>,
    class: plan::Class,
    exit_code: u8,
}

fn error_document(error: &Error) -> ErrorDocument {
    ErrorDocument {
        schema_version: super::SCHEMA_VERSION,
        error: error.to_string(),
        causes: causes(error),
        hints: error.hints().to_vec(),
        class: error.class(),
        exit_code: error.class().exit_code(),
    }
}

pub(crate) fn print_error(error: &Error, json: bool) {
    let mut stderr = io::stderr().lock();
    // When standard error is gone there is nobody to tell; the exit code still says it.
    if json {
        drop(writeln!(stderr, "{}", serde_json::to_string(&error_document(error)).unwrap_or_default()));
        return;
    }
    drop(writeln!(stderr, "{}", printable(&error_text(error))));
}

/// What failed, because of what, and the way out, a line each.
pub(crate) fn error_text(error: &Error) -> String {
    let causes = causes(error).into_iter().map(|cause| format!("  because: {cause}"));
    let hints = error.hints().iter().map(|hint| format!("  hint: {hint}"));
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
