//! `diff --deep`: what differs between two sets by their contents. Both are read once and streamed; what is compared is sorted outside of memory.

use std::collections::BTreeMap;
use std::sync::Arc;

use plan::difference::DataSetDifference;
use plan::ids::DataSetName;
use plan::manifest::{KeptDataSet, Manifest};
use plan::ports::{Context, Repository, StoreKind};
use plan::words::in_one_line;
use plan::{Error, Result};
use serde::Serialize;

use super::records::{Became, Side, compare};
use super::{files, keys, rows};
use crate::output::count;

/// What differs in one data set.
#[derive(Debug, Serialize)]
pub(super) struct DeepDifference {
    pub(super) data_set: DataSetName,
    /// Why nothing of it was compared; `null` where it was.
    pub(super) not_compared: Option<String>,
    pub(super) groups: Vec<Group>,
}

/// Things of one kind: rows of a table, keys of a class, files.
#[derive(Debug, Default, Serialize)]
pub(super) struct Group {
    /// The table; the database and the class; `files`.
    pub(super) name: String,
    /// `rows`, `keys`, `files`, `objects`.
    pub(super) kind: &'static str,
    pub(super) added: u64,
    pub(super) removed: u64,
    pub(super) changed: u64,
    /// Files whose content is the same, and whose owner, mode, time or other attributes are not.
    pub(super) attributes_changed: u64,
    /// Of rows that changed: in how many each column differs.
    pub(super) columns: BTreeMap<String, u64>,
    /// Columns that only one of the sets has; rows are compared in the others.
    pub(super) columns_of_one: Vec<String>,
    /// Why nothing of it was compared; `null` where it was.
    pub(super) not_compared: Option<String>,
    /// The first of them, by their primary keys or paths.
    pub(super) named: Named,
}

/// The first of those that differ.
#[derive(Debug, Default, Serialize)]
pub(super) struct Named {
    pub(super) added: Vec<String>,
    pub(super) removed: Vec<String>,
    pub(super) changed: Vec<String>,
}

impl Group {
    pub(super) fn count(&mut self, became: &Became<'_>, name: Option<String>, limit: usize) {
        let (number, named) = match became {
            Became::Added => (&mut self.added, &mut self.named.added),
            Became::Removed => (&mut self.removed, &mut self.named.removed),
            Became::Changed(..) => (&mut self.changed, &mut self.named.changed),
        };
        *number += 1;
        if named.len() < limit {
            named.extend(name);
        }
    }
}

/// Names a thing of a group by its key, where that may be told.
pub(super) type Namer<'a> = &'a dyn Fn(&[u8], &[u8]) -> Option<String>;

/// Whether a thing has changed, by its key and by what was and is compared of it.
pub(super) type Judge<'a> = &'a mut dyn FnMut(&mut Group, &[u8], &[u8], &[u8]) -> Result<bool>;

/// Two sets that are compared.
pub(super) struct Sets<'a> {
    pub(super) repository: &'a dyn Repository,
    pub(super) context: &'a Context,
    pub(super) limit: usize,
}

impl Sets<'_> {
    /// All data sets that differ by their evidence and are in both.
    pub(super) fn compare(&self, from: &Manifest, to: &Manifest, known: &[DataSetDifference]) -> Result<Vec<DeepDifference>> {
        let both = known.iter().filter(|difference| !difference.is_none()).filter_map(|difference| {
            Some((difference, from.data_sets.get(&difference.data_set)?, to.data_sets.get(&difference.data_set)?))
        });
        both.map(|(difference, from, to)| self.data_set(difference, from, to)).collect()
    }

    fn data_set(&self, known: &DataSetDifference, from: &KeptDataSet, to: &KeptDataSet) -> Result<DeepDifference> {
        let name = known.data_set;
        let is_mysql = |kind: &StoreKind| matches!(kind, StoreKind::MySql | StoreKind::MariaDb);
        let compared = match (&from.kind, &to.kind) {
            (one, other) if is_mysql(one) && is_mysql(other) || *one == StoreKind::PostgreSql && one == other => {
                rows::compared(self, known, from, to).map(Ok)
            }
            (StoreKind::Redis, StoreKind::Redis) => keys::compared(self, name, from, to).map(Ok),
            (one, other) if one.is_files() && other.is_files() || *one == StoreKind::Objects && one == other => {
                files::compared(self, from, to).map(Ok)
            }
            (one, other) => Ok(Err(format!("{one} and {other} cannot be compared by their contents"))),
        };
        let compared = compared.map_err(|error| Error::during(error, format!("failed to compare {name} of the two sets")))?;
        let (groups, not_compared) = compared.map_or_else(|why| (Vec::new(), Some(why)), |groups| (groups, None));
        Ok(DeepDifference { data_set: name, not_compared, groups })
    }

    pub(super) fn snapshot(&self, kept: &KeptDataSet) -> Result<Arc<dyn plan::ports::Snapshot>> {
        Ok(Arc::from(self.repository.open(&kept.snapshot)?))
    }

    /// Compares two sides whose things are named by `name`, where they have names that may be told.
    pub(super) fn groups(&self, (from, to): (Side, Side), kind: &'static str, name: Namer<'_>, changed: Judge<'_>) -> Result<Vec<Group>> {
        let mut groups: BTreeMap<Vec<u8>, Group> = BTreeMap::new();
        compare(from, to, &self.context.stop, &mut |of, key, became| {
            let group = groups.entry(of.to_vec()).or_insert_with(|| Group {
                name: String::from_utf8_lossy(of).into_owned(),
                kind,
                ..Group::default()
            });
            if let Became::Changed(was, is) = became
                && !changed(group, key, was, is)?
            {
                return Ok(());
            }
            group.count(&became, name(of, key), self.limit);
            Ok(())
        })?;
        Ok(groups.into_values().collect())
    }
}

/// For people, behind what the evidence says of the data set.
pub(super) fn lines(difference: &DeepDifference, limit: usize) -> Vec<String> {
    if let Some(why) = &difference.not_compared {
        return vec![format!("  by contents: {why}")];
    }
    let mut lines = vec!["  by contents:".to_owned()];
    for group in &difference.groups {
        let (one, many) = match group.kind {
            "rows" => ("row", "rows"),
            "keys" => ("key", "keys"),
            "objects" => ("object", "objects"),
            _ => ("file", "files"),
        };
        if let Some(why) = &group.not_compared {
            lines.push(format!("  {}: not compared: {}", in_one_line(&group.name), in_one_line(why)));
            continue;
        }
        let number = |number: u64, what: &str| (number > 0).then(|| format!("{} {what}", told(number, one, many)));
        let all = [
            number(group.added, "added"),
            number(group.removed, "removed"),
            number(group.changed, "changed"),
            number(group.attributes_changed, "with other attributes"),
        ];
        let all: Vec<_> = all.into_iter().flatten().collect();
        if all.is_empty() && group.columns_of_one.is_empty() {
            continue;
        }
        let mut columns: Vec<_> = group.columns.iter().collect();
        columns.sort_by_key(|(name, number)| (std::cmp::Reverse(**number), (*name).clone()));
        let columns: Vec<_> = columns.into_iter().map(|(name, number)| format!("{} {}", in_one_line(name), count(*number))).collect();
        let columns = if columns.is_empty() { String::new() } else { format!(" ({})", columns.join(", ")) };
        lines.push(format!(
            "  {}: {}{columns}",
            in_one_line(&group.name),
            if all.is_empty() { "no row differs".to_owned() } else { all.join(", ") }
        ));
        if !group.columns_of_one.is_empty() {
            lines.push(format!("    only in one set, not compared: {}", group.columns_of_one.join(", ")));
        }
        let named = [
            ("added", group.added, &group.named.added),
            ("removed", group.removed, &group.named.removed),
            ("changed", group.changed, &group.named.changed),
        ];
        for (what, number, names) in named.into_iter().filter(|(.., names)| !names.is_empty()) {
            let more = number.saturating_sub(names.len() as u64);
            let more = if more > 0 {
                format!("; and {} more: --limit {} names all", count(more), number.max(limit as u64))
            } else {
                String::new()
            };
            let names: Vec<_> = names.iter().map(|name| in_one_line(name)).collect();
            lines.push(format!("    {what}: {}{more}", names.join("; ")));
        }
    }
    if lines.len() == 1 {
        return vec!["  by contents: no row, key or file differs".to_owned()];
    }
    lines
}

fn told(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(number), if number == 1 { one } else { many })
}
