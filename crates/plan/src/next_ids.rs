//! Where tables and sequences go on to give ids, and what has to be raised so that none is given twice (3scale facts 11.6: a payment gateway knows an invoice by its id).

use std::collections::BTreeMap;

use crate::words::counted;

/// Names that a sentence has.
const SHOWN_MAX: usize = 5;

/// Where a table, or a sequence, goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NextId {
    /// Its name.
    pub name: String,
    /// What it gives next.
    pub next: i128,
    /// The last one that it can give. What goes on beyond it is used up.
    pub last: i128,
    /// Whether it counts down.
    pub falls: bool,
}

impl NextId {
    const fn is_ahead_of(&self, other: i128) -> bool {
        if self.falls { self.next < other } else { self.next > other }
    }

    const fn takes(&self, id: i128) -> bool {
        if self.falls { id >= self.last } else { id <= self.last }
    }
}

/// Where each stands, by its name: what is kept to see later who counted on.
#[must_use]
pub fn by_name(ids: &[NextId]) -> BTreeMap<String, i128> {
    ids.iter().map(|id| (id.name.clone(), id.next)).collect()
}

/// Those that gave ids since they were noted.
#[must_use]
pub fn counted_on(now: Vec<NextId>, noted: &BTreeMap<String, i128>) -> Vec<NextId> {
    now.into_iter().filter(|id| noted.get(&id.name).is_none_or(|then| id.is_ahead_of(*then))).collect()
}

/// One that goes on further ahead than it did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Raise {
    /// Its name.
    pub name: String,
    /// Where it went on.
    pub from: i128,
    /// Where it goes on.
    pub to: i128,
    /// The last one that it can give, where that is given: then it gives none any more.
    pub used_up: Option<i128>,
}

/// What has to be done so that those of one side give none of the ids that the other side has given.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Raises {
    /// How many there are on this side.
    pub of: usize,
    /// Whether there are none on the other side that could tell.
    pub is_alone: bool,
    /// What goes on where the other side does, the largest jump first.
    pub raises: Vec<Raise>,
    /// What cannot: the ids of the other side are larger than this one can give.
    pub beyond: Vec<Raise>,
    /// What gave ids on the other side, and is not on this one.
    pub missing: Vec<NextId>,
}

impl Raises {
    /// Of `these`, against `others`.
    #[must_use]
    pub fn between(these: &[NextId], others: &[NextId]) -> Self {
        let mut raises = Self { of: these.len(), is_alone: others.is_empty(), ..Self::default() };
        let known: BTreeMap<&str, &NextId> = these.iter().map(|id| (id.name.as_str(), id)).collect();
        for other in others {
            match known.get(other.name.as_str()) {
                Some(this) if this.falls == other.falls && other.is_ahead_of(this.next) => {
                    // One that has given its last refuses, and does not begin anew; the other side's larger type is no reason to refuse all.
                    let is_used_up = !this.takes(other.next) && this.last == other.last;
                    let used_up = is_used_up.then_some(this.last);
                    let raise = Raise { name: this.name.clone(), from: this.next, to: other.next, used_up };
                    if is_used_up || this.takes(other.next) { raises.raises.push(raise) } else { raises.beyond.push(raise) }
                }
                Some(_) => {}
                None if other.next == 1 => {}
                None => raises.missing.push(other.clone()),
            }
        }
        raises.raises.sort_by(|a, b| b.to.abs_diff(b.from).cmp(&a.to.abs_diff(a.from)).then_with(|| a.name.cmp(&b.name)));
        raises
    }

    /// What was raised, with numbers; `None` when nothing was. `others` is what the other side is, such as `the live ones`.
    #[must_use]
    pub fn told(&self, others: &str) -> Option<String> {
        let shown = self.raises.iter().map(|raise| format!("{} from {} to {}", raise.name, raise.from, raise.to));
        let listed = listed(shown, self.raises.len())?;
        let goes_on = if self.raises.len() == 1 { "goes on" } else { "go on" };
        Some(format!(
            "no id is given twice: {} of {} {goes_on} where {others} did: {listed}",
            self.raises.len(),
            counted(self.of, "counter of ids", "counters of ids")
        ))
    }

    /// What the operator must know, each a sentence.
    #[must_use]
    pub fn warnings(&self, others: &str) -> Vec<String> {
        let of_beyond = |raise: &Raise| {
            format!(
                "{} goes on at {}, and not at {} where {others} did: its type ends before. Ids that were given are given again until a migration gives it a larger type",
                raise.name, raise.from, raise.to
            )
        };
        let mut warnings: Vec<String> = self.beyond.iter().map(of_beyond).collect();
        if self.is_alone && self.of > 0 {
            let counters = counted(self.of, "counter of ids goes", "counters of ids go");
            warnings.push(format!(
                "there is no live table that tells which ids were given since the set was taken: {counters} on where the set's did"
            ));
        }
        let missing = self.missing.iter().map(|id| format!("{} at {}", id.name, id.next));
        if let Some(listed) = listed(missing, self.missing.len()) {
            warnings.push(format!(
                "the set does not have {listed}: a migration that makes them anew must let them go on there, or ids are given again"
            ));
        }
        warnings
    }
}

fn listed(names: impl Iterator<Item = String>, count: usize) -> Option<String> {
    if count == 0 {
        return None;
    }
    let mut text = names.take(SHOWN_MAX).collect::<Vec<_>>().join(", ");
    if count > SHOWN_MAX {
        text.push_str(&format!(" and {} more", count - SHOWN_MAX));
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str, next: i128) -> NextId {
        NextId { name: name.to_owned(), next, last: 127, falls: false }
    }

    #[test]
    fn each_goes_on_where_the_one_that_is_ahead_does_as_far_as_it_can() {
        let down = |next: i128| NextId { falls: true, last: -9, ..id("down", next) };
        let these = [id("invoices", 5), id("accounts", 9), id("same", 3), id("small", 100), down(-2)];
        let others = [
            id("invoices", 50),
            id("accounts", 2),
            id("same", 3),
            NextId { last: 32_767, ..id("small", 128) },
            down(-7),
            id("gone", 12),
            id("empty", 1),
        ];
        let raises = Raises::between(&these, &others);
        let raised: Vec<_> = raises.raises.iter().map(|raise| (raise.name.as_str(), raise.from, raise.to)).collect();
        assert_eq!(raised, [("invoices", 5, 50), ("down", -2, -7)]);
        assert_eq!(
            raises.told("the live ones").as_deref(),
            Some("no id is given twice: 2 of 5 counters of ids go on where the live ones did: invoices from 5 to 50, down from -2 to -7")
        );
        let warnings = raises.warnings("the live one");
        assert!(
            warnings[0].starts_with("small goes on at 100, and not at 128 where the live one did") && warnings[1].contains("gone at 12:"),
            "{warnings:?}"
        );
        assert_eq!(warnings.len(), 2);
        assert_eq!(
            Raises::between(&others, &these).told("x").as_deref(),
            Some("no id is given twice: 1 of 7 counters of ids goes on where x did: accounts from 2 to 9")
        );
        assert_eq!(Raises::between(&these, &these), Raises { of: 5, ..Raises::default() });
        let alone = Raises::between(&these, &[]).warnings("the live one");
        assert!(matches!(&alone[..], [one] if one.contains("5 counters of ids go on where the set's did")), "{alone:?}");
        assert!(Raises::between(&[], &[]).warnings("the live one").is_empty());
    }

    #[test]
    fn one_that_is_used_up_stays_so() {
        let raises = Raises::between(&[id("full", 2), id("ended", 128)], &[id("full", 128), id("ended", 128)]);
        assert_eq!(raises.raises, [Raise { name: "full".to_owned(), from: 2, to: 128, used_up: Some(127) }]);
        assert!(raises.beyond.is_empty());
    }

    #[test]
    fn only_what_counted_on_is_carried_back() {
        let noted = by_name(&[id("a", 5), id("b", 5)]);
        let names: Vec<_> = counted_on(vec![id("a", 6), id("b", 5), id("new", 1)], &noted).into_iter().map(|id| id.name).collect();
        assert_eq!(names, ["a", "new"]);
    }
}
