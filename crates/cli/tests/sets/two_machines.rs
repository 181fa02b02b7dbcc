//! A campaign: restores of one installation from two machines, killed at any record, or their connections cut or frozen at any byte, gone on with or taken
//! back on either of them.
//!
//! `THREESCALE_BACKUP_CAMPAIGN=66` makes it longer; the seed of a failure is printed and taken from `THREESCALE_BACKUP_SEED`.

use fastrand::Rng;
use lab::{Proxy, Trouble};

use crate::machine::{Machine, machine};
use crate::small::{Home, Small};

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap())
}

/// What a machine's `doctor` has to say of runs.
fn standing(machine: &Machine<'_>) -> Vec<String> {
    let output = machine.run(&["doctor", "--json"]);
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    document["runs"].as_array().unwrap().iter().map(|line| line.as_str().unwrap().to_owned()).collect()
}

/// Runs it on a network that breaks or freezes after some bytes: whether it did.
fn in_trouble(random: &mut Rng, machine: &Machine<'_>, proxy: &Proxy, arguments: &[&str]) -> bool {
    // From the first bytes of a login to the end of a restore.
    let bytes = 1 << random.u32(4..16);
    let trouble = *random.choice(&[Trouble::Cut, Trouble::Cut, Trouble::Cut, Trouble::Cut, Trouble::Freeze]).unwrap();
    proxy.trouble_after(random.u64(bytes..2 * bytes), trouble);
    let output = machine.run(arguments);
    proxy.trouble_after(u64::MAX, Trouble::Freeze);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    match output.status.code() {
        Some(75) => true,
        // It came through, or there was nothing to do.
        Some(0 | 2) => false,
        code => panic!("{arguments:?} ended with {code:?} when the network said {trouble:?}:\n{said}"),
    }
}

#[test]
fn whoever_is_killed_wherever_what_is_live_is_the_old_or_the_new() {
    let seed = number("THREESCALE_BACKUP_SEED").unwrap_or_else(|| fastrand::u64(..));
    println!("THREESCALE_BACKUP_SEED={seed}");
    let mut random = Rng::with_seed(seed);
    let home = Home::make();
    let a = Small::start(&home, "a");
    let proxy = a.behind_proxy();
    let machines = [machine(&home, &a, "one"), machine(&home, &a, "other")];
    machines[0].code(0, &["backup"]);
    let (mut kills, mut cuts, mut rounds) = (0, 0, 0);
    let wanted = number("THREESCALE_BACKUP_CAMPAIGN").unwrap_or(6);
    while kills < wanted || cuts < wanted / 2 {
        rounds += 1;
        let lost = format!("lost {rounds}");
        a.write(&lost);
        let (new, old) = (["a".to_owned(), "a".to_owned()], [lost.clone(), lost]);
        let mut arguments = vec!["restore", "latest", "--yes"];
        // Killed, and gone on with or taken back wherever somebody happens to be, killed again.
        let mut begun = false;
        for _ in 0..random.usize(1..4) {
            let machine = random.choice(&machines).unwrap();
            if random.bool() {
                kills += u64::from(machine.killed_after(random.usize(1..40), &arguments).is_none());
            } else {
                cuts += u64::from(in_trouble(&mut random, machine, &proxy, &arguments));
            }
            begun |= machines[0].runs().len() + machines[1].runs().len() > 0;
            arguments = vec![random.choice(["resume", "undo"]).unwrap(), "--yes"];
        }
        // Whoever ends it, it ends. What was killed before its first record has nothing to go on with.
        let machine = random.choice(&machines).unwrap();
        let output = machine.run(&arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let content = a.content();
        match (arguments[0], output.status.code()) {
            ("resume", Some(0)) => assert!(content == new || content == old, "round {rounds}: {content:?}\n{said}"),
            ("undo", Some(0)) => assert_eq!(content, old, "round {rounds}: {said}"),
            // There was nothing to go on with, or the undo was finished, or it has begun and only `undo` finishes it.
            (_, Some(2)) => {}
            (verb, code) => panic!("round {rounds}: {verb} ended with {code:?}, {content:?}\n{said}"),
        }
        // Until both machines have nothing to say of runs: taken back, gone on with, or settled, by whoever is there.
        for verb in ["undo", "resume", "settle"] {
            if machines.iter().all(|machine| standing(machine).is_empty()) {
                break;
            }
            // A run that holds nothing yet is known to its own machine only.
            machines.iter().for_each(|machine| drop(machine.run(&[verb, "--yes"])));
        }
        let content = a.content();
        assert!(content == new || content == old, "round {rounds}: {content:?} after the end");
        for machine in &machines {
            assert_eq!(standing(machine), Vec::<String>::new(), "round {rounds}");
            machine.code(0, &["backup", "--only", "system-redis"]);
        }
        assert!(begun || rounds < 100, "nothing is ever begun");
    }
    println!("{kills} kills and {cuts} broken networks in {rounds} rounds");
}
