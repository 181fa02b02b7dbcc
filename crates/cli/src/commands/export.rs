//! `export`: a data set of a set as plain files, for use without this program.
//!
//! With `--table` the rows of one table, as one file.
//!
//! The same tree as `restic restore` gives, but for streams that are cut into parts: those come out as one file.

mod table;
mod target;
mod tree;

use std::collections::BTreeMap;
use std::path::Path;

use plan::ids::DataSetName;
use plan::ports::{Event, Repository, Verb};
use plan::{Error, Result};
use serde::Serialize;

use self::target::Target;
use self::tree::Writing;
use crate::app::App;
use crate::args;
use crate::output::{bytes, count};
use crate::whose::Wanted;

#[derive(Serialize)]
struct ExportDocument<'a> {
    set: &'a str,
    data_set: DataSetName,
    folder: &'a Path,
    files: u64,
    bytes: u64,
    /// Entries that are no files.
    others: BTreeMap<&'static str, u64>,
    /// What is not as in the set.
    warnings: Vec<String>,
}

pub(crate) fn export(app: &App, args: &args::Export) -> Result<()> {
    let config = app.config()?;
    let repository = app.repository(&config)?;
    let wanted = Wanted {
        after: format!(" {} --to {}", args.data_set, args.to.display()),
        ..Wanted::new("export", &args.set, args.partial.partial)
    };
    let manifest = app.find_set(&config, repository.as_ref(), &wanted)?.0.manifest;
    let kept = manifest.data_sets.get(&args.data_set).ok_or_else(|| {
        let has: Vec<_> = manifest.data_sets.keys().map(|name| name.as_str()).collect();
        Error::refused(format!("set {} has no {}", manifest.set, args.data_set)).hint(format!("It has {}.", has.join(", ")))
    })?;
    let context = app.context_alone(&config)?;
    if let Some(name) = &args.table {
        let of = table::Of { manifest: &manifest, kept, repository: repository.as_ref(), context: &context };
        return table::export(app, args, name.strip_prefix("public.").unwrap_or(name), &of);
    }
    let snapshot = repository.open(&kept.snapshot)?;
    context.watch.see(Event::Begin { data_set: args.data_set, verb: Verb::Export, total_bytes: Some(kept.bytes) });
    let target = Target::make(&args.to, &context.run)?;
    let (data_set, kind) = (args.data_set, &kept.kind);
    let writing = Writing { context: &context, data_set, kind, snapshot: snapshot.as_ref(), tree: &target.tree };
    let written = writing.write().and_then(|written| target.complete().map(|()| written)).map_err(|error| target.not_complete(error))?;
    context.watch.see(Event::End { data_set: args.data_set, verb: Verb::Export });
    let warnings = written.warnings();
    warnings.iter().for_each(|text| context.watch.see(Event::Warning(text)));
    let others: String = written.others.iter().map(|(what, number)| format!(", {} {what}", count(*number))).collect();
    app.output.line(&format!(
        "wrote {} files, {}{others}, of {} to {}; docs/recovery-without-the-program.md says how to load them",
        count(written.files),
        bytes(written.bytes),
        args.data_set,
        args.to.display()
    ))?;
    let document = ExportDocument {
        set: manifest.set.as_str(),
        data_set: args.data_set,
        folder: &args.to,
        files: written.files,
        bytes: written.bytes,
        others: written.others,
        warnings,
    };
    app.output.document(&document)
}
