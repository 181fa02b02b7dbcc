//! `support-bundle`: what helps to find a fault, in one archive. Nothing of it is a secret: it is what the commands say, and journals.
//!
//! What cannot be had is told in the archive, with its error, and stops nothing: a bundle is made because something does not work.

use std::io::{self, BufWriter, Write};
use std::path::Path;

use files_data_set::archive::{begin, end, fill};
use plan::error::During;
use plan::{Error, Result};
use runner::State;
use serde::Serialize;
use tempfile::NamedTempFile;

use crate::app::App;
use crate::args::{self, ConfigCommand, LONG_VERSION};
use crate::commands;
use crate::output::file::folder_of;
use crate::output::{bytes, error_json};

/// Of a journal that is longer, its end: what happened last is what is looked for.
const JOURNAL_BYTES_MAX: usize = 4 << 20;

#[derive(Serialize)]
struct BundleDocument<'a> {
    file: &'a Path,
    bytes: u64,
    entries: Vec<EntryDocument>,
}

#[derive(Serialize)]
struct EntryDocument {
    name: String,
    bytes: u64,
}

pub(crate) fn support_bundle(app: &App, args: &args::SupportBundle) -> Result<()> {
    let mut bundle = Bundle::create(&args.to)?;
    bundle.add("version.txt", format!("threescale-backup {LONG_VERSION}\n{}\n", system()).as_bytes())?;
    let look = args::Limits { max_age: None, max_unproven: None, max_unchecked: None, max_copy_age: None, max_kept: None, min_free: None };
    bundle.answer(app, "configuration", |app| commands::config(app, ConfigCommand::Show))?;
    bundle.answer(app, "configuration-check", |app| commands::config(app, ConfigCommand::Check))?;
    bundle.answer(app, "doctor", commands::doctor)?;
    bundle.answer(app, "list", |app| commands::list(app, &args::List { all_installations: false }))?;
    bundle.answer(app, "runs", commands::runs)?;
    bundle.answer(app, "status", |app| {
        commands::status(app, &args::Status { limits: look, metrics: None, push: None, push_ca_file: None })
    })?;
    journals(app, &mut bundle, args.journals)?;
    let entries = bundle.complete()?;
    let size = entries.iter().map(|entry| entry.bytes).sum();
    app.output.note(&format!(
        "{} entries, {}; names of hosts, users and installations are in it, secrets are not",
        entries.len(),
        bytes(size)
    ));
    app.output.line(&args.to.display().to_string())?;
    app.output.document(&BundleDocument { file: &args.to, bytes: size, entries })
}

fn system() -> String {
    let name = rustix::system::uname();
    [name.sysname(), name.release(), name.machine()].map(|word| word.to_string_lossy().into_owned()).join(" ")
}

/// The newest journals, from wherever they are kept.
fn journals(app: &App, bundle: &mut Bundle, newest: usize) -> Result<()> {
    let read = || -> Result<State> {
        let config = app.config()?;
        let installation = app.installation_even_nothing(&config, None).ok();
        app.state_to_look_at(&config, installation.as_deref())
    };
    let state = match read() {
        Ok(state) => state,
        Err(error) => return bundle.add("journals.error.json", error_json(&error, Vec::new()).as_bytes()),
    };
    let names = state.all().map(|all| all.into_iter().map(|(id, _)| id).rev().take(newest).collect::<Vec<_>>());
    for id in names.unwrap_or_default() {
        app.stop().check()?;
        match state.bytes(&id) {
            Ok(Some(text)) => {
                let behind = text.len().saturating_sub(JOURNAL_BYTES_MAX);
                bundle.add(&format!("journals/{id}.jsonl"), text.get(behind..).unwrap_or_default())?;
            }
            Ok(None) => {}
            Err(error) => bundle.add(&format!("journals/{id}.error.json"), error_json(&error, Vec::new()).as_bytes())?,
        }
    }
    Ok(())
}

/// A tar that is being made.
struct Bundle {
    to: BufWriter<NamedTempFile>,
    file: std::path::PathBuf,
    entries: Vec<EntryDocument>,
}

impl Bundle {
    /// Only its owner may read it.
    fn create(file: &Path) -> Result<Self> {
        let folder = folder_of(file);
        if file.file_name().is_none() || std::fs::symlink_metadata(file).is_ok() {
            return Err(Error::refused(format!("{} is there, or is no name for a file", file.display()))
                .hint("Nothing is overwritten: name another file with --to."));
        }
        let made = tempfile::Builder::new().prefix(".support-bundle-").tempfile_in(folder);
        let made = made.map_err(|error| Error::refused(format!("failed to make a file in {}", folder.display())).because(error))?;
        Ok(Self { to: BufWriter::new(made), file: file.to_owned(), entries: Vec::new() })
    }

    /// What a command says, and what it fails with.
    fn answer(&mut self, app: &App, name: &str, command: impl FnOnce(&App) -> Result<()>) -> Result<()> {
        app.stop().check()?;
        app.output.note(&format!("asking {name}"));
        let app = app.captured();
        let answered = command(&app);
        let document = app.output.take_document()?;
        if let Some(document) = document {
            self.add(&format!("{name}.json"), document.as_bytes())?;
        }
        match answered {
            Ok(()) => Ok(()),
            Err(error) => self.add(&format!("{name}.error.json"), format!("{}\n", error_json(&error, Vec::new())).as_bytes()),
        }
    }

    fn add(&mut self, name: &str, content: &[u8]) -> Result<()> {
        let bytes = content.len() as u64;
        let written = begin(&mut self.to, name.as_bytes(), bytes, 0).and_then(|()| self.to.write_all(content));
        written.and_then(|()| fill(&mut self.to, bytes)).during(|| format!("write {}", self.file.display()))?;
        self.entries.push(EntryDocument { name: name.to_owned(), bytes });
        Ok(())
    }

    fn complete(mut self) -> Result<Vec<EntryDocument>> {
        let what = || format!("write {}", self.file.display());
        end(&mut self.to).during(what)?;
        let file = self.to.into_inner().map_err(io::IntoInnerError::into_error).during(what)?;
        file.as_file().sync_all().during(what)?;
        file.persist_noclobber(&self.file).map_err(|error| error.error).during(what)?;
        Ok(self.entries)
    }
}
