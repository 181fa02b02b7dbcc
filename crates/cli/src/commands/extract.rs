//! `extract`: what a set holds of one tenant, or of one product, as a readable archive. No server is asked.

mod archive;
mod document;
pub(super) mod load;
mod rows;
mod usage;
mod which;

use std::collections::BTreeSet;
use std::os::unix::ffi::OsStrExt as _;

use plan::ids::DataSetName;
use plan::manifest::{KeptDataSet, Manifest};
use plan::ports::{Context, EntryKind, Event, Repository, Verb};
use plan::tree_order::TreeOrder;
use plan::{Error, Result};
use threescale::tenant::{Belongings, Extract, Id, Named, PATHS, Path};
use threescale::verify::names;

use self::archive::Archive;
use self::document::{FORMAT, FilesDocument, ManifestDocument, tables};
use self::load::Load;
use self::rows::Rows;
use self::usage::Usage;
use self::which::Meant;
pub(super) use self::which::{Which, which};
use crate::agreement::read_rows;
use crate::app::App;
use crate::args;
use crate::output::{Table, bytes, count};
use crate::whose::Wanted;

/// The label of Backend's keys.
const STORAGE: &str = "storage";

/// What is read, and of which set.
struct Of<'a> {
    manifest: &'a Manifest,
    repository: &'a dyn Repository,
    context: &'a Context,
}

pub(crate) fn extract(app: &App, args: &args::Extract) -> Result<()> {
    check_with(&args.with, args.service.is_some())?;
    let config = app.config()?;
    let repository = app.repository(&config)?;
    let option = |name: &str, value: &Option<String>| value.as_ref().map(|value| format!(" --{name} {value:?}")).unwrap_or_default();
    let after = format!("{}{} --to {}", option("tenant", &args.tenant), option("service", &args.service), args.to.display());
    let wanted = Wanted { after, ..Wanted::new("extract", &args.set, args.partial.partial) };
    let manifest = app.find_set(&config, repository.as_ref(), &wanted)?.0.manifest;
    let context = app.context_alone(&config)?;
    let of = Of { manifest: &manifest, repository: repository.as_ref(), context: &context };
    let system = of.kept(DataSetName::SystemDatabase).ok_or_else(|| {
        Error::refused(format!("set {} has no system-database", manifest.set)).hint("`threescale-backup list` shows which sets are whole.")
    })?;
    let mut archive = Archive::create(&args.to)?;
    let meant = which(&Which { tenant: args.tenant.as_deref(), service: args.service.as_deref() }, |reader| {
        read_rows(system, of.repository, of.context, reader)
    })?;
    let document = of.write(args, &meant, system, &mut archive)?;
    let written = archive.complete(&document)?;
    app.output.line(&told(args, &document, written))?;
    app.output.document(&document)
}

/// That only tables are asked for that are left out otherwise.
pub(super) fn check_with(with: &[String], is_product: bool) -> Result<()> {
    let belongs = |path: &&Path| !is_product || !path.product.is_empty();
    let asked = || PATHS.iter().filter(|path| path.extract == Extract::Asked).filter(belongs).map(|path| path.table);
    match with.iter().find(|table| !asked().any(|name| name == table.as_str())) {
        None => Ok(()),
        Some(table) => Err(Error::refused(format!("--with {table}: it is no table that is left out otherwise"))
            .hint(format!("Those are {}.", asked().collect::<Vec<_>>().join(", ")))),
    }
}

impl<'a> Of<'a> {
    fn kept(&self, name: DataSetName) -> Option<&'a KeptDataSet> {
        self.manifest.data_sets.get(&name)
    }

    fn write(&self, args: &args::Extract, meant: &Meant, system: &KeptDataSet, archive: &mut Archive) -> Result<ManifestDocument> {
        let mut belongings = match &meant.product {
            Some(product) => Belongings::of_product(product.id, &args.with),
            None => Belongings::of_tenant(meant.tenant.id, meant.master, &args.with),
        };
        let mut named = Named::default();
        let watch = &self.context.watch;
        watch.see(Event::Begin { data_set: DataSetName::SystemDatabase, verb: Verb::Export, total_bytes: None });
        let mut columns = std::collections::BTreeMap::new();
        let mut load = None;
        if args.sql {
            let (statements, begin) = Load::begin(&system.kind);
            archive.statement(begin.as_bytes())?;
            load = Some(statements);
        }
        for round in 0..belongings.rounds() {
            let mut rows = Rows::new(round, &mut belongings, archive, &mut named, &mut columns, load.as_mut());
            read_rows(system, self.repository, self.context, &mut rows)?;
            rows.end()?;
        }
        if let Some(load) = load {
            archive.statement(load.end().as_bytes())?;
            archive.end_of_statements()?;
        }
        watch.see(Event::End { data_set: DataSetName::SystemDatabase, verb: Verb::Export });
        let services: Vec<Id> = match &meant.product {
            Some(product) => vec![product.id],
            None => belongings.ids("services").into_iter().flatten().copied().collect(),
        };
        let wants = |name: DataSetName| self.kept(name).filter(|_| !args.tables_only);
        let usage = match wants(DataSetName::BackendRedis) {
            Some(kept) => Some(self.usage(kept, names(&services, std::slice::from_ref(&meant.tenant.prefix)), archive)?),
            None => None,
        };
        // A product has no files: those of the developer portal are the tenant's.
        let files = match wants(DataSetName::SystemStorage).filter(|_| meant.product.is_none()) {
            Some(kept) => Some(self.files(kept, named, archive)?),
            None => None,
        };
        Ok(ManifestDocument {
            format: FORMAT,
            program_version: env!("CARGO_PKG_VERSION"),
            set: self.manifest.set.to_string(),
            store: system.store.clone(),
            consistent_at: system.consistent_at,
            release: self.manifest.release.clone(),
            newest_migration: self.manifest.newest_migration.clone(),
            tenant: meant.tenant.clone(),
            product: meant.product.clone(),
            tables: tables(&belongings, columns),
            left_out: belongings.left_out().iter().cloned().collect(),
            unknown: belongings.unknown().iter().cloned().collect(),
            usage,
            files,
        })
    }

    fn usage(&self, kept: &KeptDataSet, services: BTreeSet<String>, archive: &mut Archive) -> Result<u64> {
        let (data_set, verb) = (DataSetName::BackendRedis, Verb::Export);
        self.context.watch.see(Event::Begin { data_set, verb, total_bytes: None });
        let mut usage = Usage::new(services, archive);
        redis_data_set::read_keys(self.repository.open(&kept.snapshot)?.into(), kept, STORAGE, &self.context.stop, &mut usage)?;
        let keys = usage.end()?;
        self.context.watch.see(Event::End { data_set, verb });
        Ok(keys)
    }

    fn files(&self, kept: &KeptDataSet, mut named: Named, archive: &mut Archive) -> Result<FilesDocument> {
        let (data_set, verb) = (DataSetName::SystemStorage, Verb::Export);
        self.context.watch.see(Event::Begin { data_set, verb, total_bytes: None });
        let snapshot = self.repository.open(&kept.snapshot)?;
        let mut found = FilesDocument::default();
        let mut order = TreeOrder::default();
        for entry in snapshot.entries()? {
            self.context.stop.check()?;
            let entry = entry?;
            order.admit(&entry.path, matches!(entry.kind, EntryKind::Folder)).map_err(|why| {
                Error::needs_person(format!("entry {:?} of the snapshot {why}", entry.path))
                    .hint("No backup of this program makes that: somebody who knows the repository's password has changed the snapshot.")
            })?;
            if entry.is_file() && named.has(entry.path.as_os_str().as_bytes()) {
                archive.file(snapshot.as_ref(), &entry, |bytes| {
                    self.context.watch.see(Event::Advance { data_set, verb, bytes, items: 0 });
                    self.context.stop.check()
                })?;
                found.files += 1;
                found.bytes += entry.size_bytes;
            }
        }
        found.missing = named.missing();
        self.context.watch.see(Event::End { data_set, verb });
        Ok(found)
    }
}

/// For people.
fn told(args: &args::Extract, document: &ManifestDocument, written: u64) -> String {
    let mut table = Table::new(&["TABLE", "ROWS", "REMARKS"]);
    let with_rows = document.tables.iter().filter(|(_, found)| found.rows + found.of_another > 0);
    for (name, found) in with_rows {
        let alone = (found.by_tenant_id_alone > 0)
            .then(|| format!("{} by tenant_id alone: what they refer to is gone, or another's", count(found.by_tenant_id_alone)));
        let another = (found.of_another > 0)
            .then(|| format!("{} more refer to rows of it, and their tenant_id names another: left out", count(found.of_another)));
        table.row([name.clone(), count(found.rows), [alone, another].into_iter().flatten().collect::<Vec<_>>().join("; ")]);
    }
    let mut lines = vec![table.render()];
    if !document.left_out.is_empty() {
        let names = document.left_out.join(",");
        lines.push(format!("left out: {}; --with {names} extracts them too", document.left_out.join(", ")));
    }
    if !document.unknown.is_empty() {
        lines.push(format!("not known, and extracted by tenant_id where they have it: {}", document.unknown.join(", ")));
    }
    match document.usage {
        Some(keys) => lines.push(format!("usage: {} keys of Backend", count(keys))),
        None => lines.push("usage: none was read".to_owned()),
    }
    match &document.files {
        Some(files) if files.missing > 0 => lines.push(format!(
            "files: {}, {}; the set has none for {} that rows name",
            count(files.files),
            bytes(files.bytes),
            count(u64::try_from(files.missing).unwrap_or_default())
        )),
        Some(files) => lines.push(format!("files: {}, {}", count(files.files), bytes(files.bytes))),
        None => lines.push("files: none were read".to_owned()),
    }
    let rows: u64 = document.tables.values().map(|found| found.rows).sum();
    let of = document.product.as_ref().map(|product| format!("product {} of ", product.id)).unwrap_or_default();
    lines.push(format!(
        "wrote {} rows of {of}tenant {} ({:?}), {}, to {}; it holds passwords and keys in clear, and only you may read it",
        count(rows),
        document.tenant.id,
        document.tenant.org_name,
        bytes(written),
        args.to.display()
    ));
    lines.join("\n")
}
