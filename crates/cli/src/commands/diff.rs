//! `diff`: what differs between two sets, by what each knows of itself; no data is read, except with `--deep`.

mod deep;
mod files;
mod keys;
mod records;
mod rows;

use plan::Result;
use plan::difference::{self, CollectionDifference, DataSetDifference, Sides};
use plan::ids::SetId;
use plan::manifest::Manifest;
use plan::words::{counted, in_one_line};
use serde::Serialize;

use deep::{DeepDifference, Sets};

use crate::app::App;
use crate::args;
use crate::output::{bytes, count, local_time};
use crate::whose::{Wanted, candidates};

#[derive(Serialize)]
struct DiffDocument<'a> {
    from: &'a SetId,
    to: &'a SetId,
    data_sets: &'a [DataSetDifference],
    /// By contents; `null` without `--deep`.
    deep: Option<&'a [DeepDifference]>,
}

pub(crate) fn diff(app: &App, args: &args::Diff) -> Result<()> {
    let config = app.config()?;
    let repository = app.repository(&config)?;
    let all = candidates(repository.as_ref())?;
    // Whoever names a set by its id means that one, whosever it is: nothing is put anywhere.
    let by_id = |set: &str| {
        let mut named = all.iter().filter(|candidate| !set.is_empty() && candidate.manifest.set.as_str().starts_with(&set.to_lowercase()));
        named.next().filter(|_| named.next().is_none()).map(|candidate| candidate.manifest.clone())
    };
    let find = |set: &str| -> Result<Manifest> {
        if let Some(manifest) = by_id(set) {
            return Ok(manifest);
        }
        let wanted = Wanted::new("diff", set, args.partial.partial);
        Ok(app.find_set(&config, repository.as_ref(), &wanted)?.0.manifest)
    };
    let (from, to) = (find(&args.from)?, find(&args.to)?);
    if from.set == to.set {
        app.output.note("note: that is the same set twice; `diff OLDER NEWER` takes two, and `latest` is the second where none is named");
    }
    let differences = difference::between(&from, &to);
    let deep = match args.deep {
        false => None,
        true => {
            let context = app.context_alone(&config)?;
            let sets = Sets { repository: repository.as_ref(), context: &context, limit: args.limit };
            Some(sets.compare(&from, &to, &differences)?)
        }
    };
    app.output.line(&shown(&from, &to, &differences, (deep.as_deref().unwrap_or_default(), args.limit)))?;
    app.output.document(&DiffDocument { from: &from.set, to: &to.set, data_sets: &differences, deep: deep.as_deref() })
}

fn shown(from: &Manifest, to: &Manifest, differences: &[DataSetDifference], (deep, limit): (&[DeepDifference], usize)) -> String {
    let of = |manifest: &Manifest| format!("{} of {}", manifest.set, local_time(manifest.started_at));
    let mut lines = vec![format!("from set {}", of(from)), format!("  to set {}", of(to))];
    for difference in differences {
        lines.push(String::new());
        lines.push(format!("{}: {}", difference.data_set, summary(difference)));
        let told = difference
            .collections
            .iter()
            .map(collection)
            .chain(difference.objects.iter().map(|it| format!("{} (definitions): {}", it.kind, sides(it.count))));
        let all: Vec<_> = told.collect();
        lines.extend(all.iter().take(limit).map(|line| format!("  {line}")));
        if all.len() > limit {
            lines.push(format!("  and {} more: --limit {} names all", all.len() - limit, all.len()));
        }
        if let Some(deep) = deep.iter().find(|deep| deep.data_set == difference.data_set) {
            lines.extend(deep::lines(deep, limit));
        }
    }
    lines.join("\n")
}

fn summary(difference: &DataSetDifference) -> String {
    let (from, to) = match (difference.bytes.from, difference.bytes.to) {
        (Some(from), Some(to)) => (from, to),
        (Some(_), None) => return "only in the first".to_owned(),
        (None, _) => return "only in the second".to_owned(),
    };
    let (before, after) = (bytes(from), bytes(to));
    let size = if before == after { before } else { format!("{before} → {after}") };
    let store = match &difference.stores {
        (Some(before), Some(after)) if before != after => format!("; {before} → {after}"),
        _ => String::new(),
    };
    if difference.is_none() {
        return format!("equal, {size}{store}");
    }
    let all = difference.collections.len() + difference.equal;
    format!("{} of {} differ, {size}{store}", difference.collections.len(), counted(all, "collection", "collections"))
}

fn collection(difference: &CollectionDifference) -> String {
    let text = match difference.elements {
        Sides { from: Some(from), to: Some(to) } if from == to => format!("{}, other contents", count(from)),
        elements => sides(elements),
    };
    format!("{}: {text}", in_one_line(&difference.name))
}

/// `12 → 15 (+3)`, `only in the first: 12`.
fn sides(sides: Sides) -> String {
    match (sides.from, sides.to) {
        (Some(from), Some(to)) => {
            let change = if to >= from { format!("+{}", count(to - from)) } else { format!("-{}", count(from - to)) };
            format!("{} → {} ({change})", count(from), count(to))
        }
        (Some(from), None) => format!("only in the first: {}", count(from)),
        (None, to) => format!("only in the second: {}", count(to.unwrap_or(0))),
    }
}
