//! 200 days of two installations in one repository, by a false clock: whole sets, partial ones, days without any, sets that are damaged, interrupted backups,
//! a `forget` every day and a prune at times. Every set that stays reads as it was taken, and the newest whole set of either is never missing.

use std::collections::BTreeSet;

use jiff::{Span, Timestamp};
use plan::ids::{DataSetName, SetId};
use plan::manifest::Manifest;
use plan::ports::{Keep, Repository as _};
use repository::{ForgetOptions, Retention, RusticRepository};

use crate::scene::*;

const DAYS: u64 = 200;
const RULES: Retention = Retention { last: 0, hourly: 0, daily: 7, weekly: 4, monthly: 6, yearly: 0, within: None };

struct Taken {
    name: &'static str,
    day: u64,
    manifest: Manifest,
    contents: Vec<(DataSetName, u64)>,
    is_whole: bool,
    is_damaged: bool,
}

struct Campaign {
    scene: Scene,
    repository: RusticRepository,
    begun: Timestamp,
    taken: Vec<Taken>,
    dice: u64,
}

impl Campaign {
    fn at(&self, day: u64, hour: i64) -> Timestamp {
        self.begun + Span::new().hours(24 * day as i64 + hour)
    }

    /// One of `sides`.
    fn throw(&mut self, sides: u64) -> u64 {
        self.dice = self.dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.dice >> 33) % sides
    }

    fn take(&mut self, name: &'static str, day: u64, hour: i64, names: &[DataSetName]) {
        let set = format!("{name}-{day:03}-{hour:02}");
        // Most of it is as it was some days ago; the database differs each day.
        let seed = |data_set: DataSetName| if data_set == DataSetName::SystemDatabase { day } else { day / 5 };
        let contents: Vec<_> =
            names.iter().map(|data_set| (*data_set, seed(*data_set) * 100 + *data_set as u64 + u64::from(name == "b") * 10)).collect();
        let manifest = take_some_of(
            &self.repository,
            name,
            &set,
            self.at(day, hour),
            &contents,
            &[DataSetName::SystemDatabase, DataSetName::SystemRedis],
        );
        self.taken.push(Taken { name, day, manifest, contents, is_whole: names.len() > 1, is_damaged: false });
    }

    /// The snapshot of one data set is lost.
    fn damage(&mut self, place: usize) {
        let taken = &mut self.taken[place];
        let snapshot = taken.manifest.data_sets.values().next().unwrap().snapshot.clone();
        std::fs::remove_file(self.scene.path().join("snapshots").join(snapshot.as_str())).unwrap();
        taken.is_damaged = true;
    }

    fn newest_whole(&self, name: &str) -> Option<&SetId> {
        let whole = self.taken.iter().rev().find(|taken| taken.name == name && !taken.is_damaged && taken.is_whole);
        whole.map(|taken| &taken.manifest.set)
    }

    fn a_day(&mut self, day: u64) {
        for name in ["a", "b"] {
            match self.throw(12) {
                0..5 => {}
                5 => {
                    let keep = Keep { set: SetId(format!("{name}-{day}-interrupted")), data_set: DATA_SET, earlier: None };
                    self.scene.again().keep(&context(), &keep, Script::parts(parts(day, 1, 3000))).unwrap();
                }
                _ => self.take(name, day, 3, &[DataSetName::SystemDatabase, DataSetName::SystemRedis]),
            }
            if self.throw(6) == 0 {
                self.take(name, day, 9, &[DataSetName::SystemRedis]);
            }
        }
        if self.throw(15) == 0 && !self.taken.is_empty() {
            let newest = self.taken.len() - 1;
            if !self.taken[newest].is_damaged {
                self.damage(newest);
            }
        }
        let (name, at_once) = (if self.throw(2) == 0 { "a" } else { "b" }, self.throw(20) == 0);
        let options = ForgetOptions { prune: self.throw(3) == 0 || at_once, at_once, ..forget_of(name, self.at(day, 12)) };
        let report = self.repository.forget(&RULES, &options).unwrap();
        let removed: BTreeSet<_> = report.removed.into_iter().map(|set| set.set).collect();
        assert!(removed.iter().all(|set| set.as_str().starts_with(name)), "day {day}: {removed:?}");
        for other in ["a", "b"] {
            assert!(self.newest_whole(other).is_none_or(|newest| !removed.contains(newest)), "day {day}: {removed:?}");
        }
        self.taken.retain(|taken| !removed.contains(&taken.manifest.set));
    }

    /// Everything that stays is there, and as it was taken.
    fn look(&self, day: u64) {
        let repository = self.scene.again();
        let listed: BTreeSet<_> = repository.manifests().unwrap().into_iter().map(|manifest| manifest.set).collect();
        assert_eq!(listed, self.taken.iter().map(|taken| taken.manifest.set.clone()).collect(), "day {day}");
        for taken in self.taken.iter().filter(|taken| !taken.is_damaged) {
            for (data_set, seed) in &taken.contents {
                let snapshot = repository.open(&taken.manifest.data_sets[data_set].snapshot).unwrap();
                for (path, content) in expected(parts(*seed, 2, 3000)) {
                    let entry = snapshot.find(&path).unwrap();
                    assert!(snapshot.read_all(&entry).unwrap() == content, "day {day}: {} {data_set}", taken.manifest.set);
                }
            }
        }
    }

    /// What the rules are for: a set of each of the last days, weeks and months that had one.
    fn reaches_back(&self, name: &str) -> bool {
        let whole = self.taken.iter().filter(|taken| taken.name == name && !taken.is_damaged && taken.is_whole);
        let days: Vec<_> = whole.map(|taken| taken.day).collect();
        (9..30).contains(&days.len()) && days[0] + 100 < DAYS && days[days.len() - 1] + 15 > DAYS
    }
}

#[test]
fn two_hundred_days_of_two_installations_lose_nothing() {
    let scene = Scene::in_memory();
    let repository = scene.again();
    let mut campaign = Campaign { scene, repository, begun: Timestamp::now(), taken: Vec::new(), dice: 7 };
    for day in 0..DAYS {
        campaign.a_day(day);
        if day % 40 == 39 {
            campaign.look(day);
        }
    }
    campaign.look(DAYS);
    assert!(campaign.reaches_back("a") && campaign.reaches_back("b"));
    let last = ForgetOptions { prune: true, at_once: true, ..forget_of("a", campaign.at(DAYS, 12)) };
    let report = campaign.repository.forget(&RULES, &last).unwrap().prune.unwrap();
    assert_eq!(report.space.total_bytes(), disk_usage(&campaign.scene.path()));
    campaign.look(DAYS);
    campaign.scene.restic(&["check", "--read-data"]);
}
