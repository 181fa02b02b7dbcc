//! How hard to work: limits of bytes a second, steps at the same time, priority. That something takes at least so long is seen by the clock; nothing else is.

use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::small::{Home, Small};
use crate::support::text;

const BYTES: usize = 6_000_000;

/// What nothing makes smaller.
fn noise(mut seed: u64) -> Vec<u8> {
    let mut next = || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed.to_le_bytes()
    };
    (0..BYTES / 8).flat_map(|_| next()).collect()
}

fn took(work: impl FnOnce()) -> Duration {
    let began = Instant::now();
    work();
    began.elapsed()
}

#[test]
fn no_more_than_so_many_bytes_a_second_are_read_and_written() {
    let home = Home::make();
    let small = Small::start(&home, "a");
    let file = home.path("a-files").join("noise");
    let mut seed = 7;
    let mut backup = |options: &[&str]| {
        seed += 1;
        std::fs::write(&file, noise(seed)).unwrap();
        took(|| drop(small.backup(options)))
    };
    for option in ["--limit-read=2M", "--limit-upload=2M/s"] {
        let long = backup(&[option]);
        assert!(long >= Duration::from_secs(2), "{option}: {long:?}");
    }
    // In the configuration, and an option goes before it.
    let toml = std::fs::read_to_string(small.config()).unwrap();
    std::fs::write(small.config(), format!("{toml}[options]\nlimit-read = \"1M\"\njobs = 1\n")).unwrap();
    let long = backup(&[]);
    assert!(long >= Duration::from_secs(4), "{long:?}");
    small.ok(&["check", "--read-data", "--limit-read", "1G"]);
    let long = took(|| drop(small.ok(&["check", "--read-data", "--limit-download", "4M"])));
    assert!(long >= Duration::from_secs(3), "three times 6 MB: {long:?}");

    for (wrong, why) in [("0", "too little"), ("99K", "too little"), ("fast", "not a size")] {
        let words = small.refused(&["backup", "--limit-upload", wrong]);
        assert!(words.contains(why) && words.contains("--limit-upload"), "{words}");
        std::fs::write(small.config(), format!("{toml}[options]\nlimit-upload = {wrong:?}\n")).unwrap();
        let words = small.refused(&["backup"]);
        assert!(words.contains(why) && words.contains("limit-upload"), "{words}");
    }
}

#[test]
fn who_is_limited_is_nice_and_ends_when_he_is_asked_to() {
    let home = Home::make();
    let small = Small::start(&home, "a");
    std::fs::write(home.path("a-files").join("noise"), noise(1)).unwrap();
    let began = Instant::now();
    let child = small.command(&["backup", "--limit-read", "100K", "--nice"]).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    // Every thread that works; the one that waits for signals was there before.
    let niceness = || -> Vec<String> {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", child.id())).into_iter().flatten().flatten();
        let stats = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("stat")).ok());
        stats.filter_map(|stat| stat.rsplit_once(") ")?.1.split(' ').nth(16).map(str::to_owned)).collect()
    };
    while niceness().iter().filter(|nice| *nice == "19").count() <= 3 {
        assert!(began.elapsed() < Duration::from_secs(30), "{:?}", niceness());
        std::thread::sleep(Duration::from_millis(10));
    }
    let id = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    kill_process(id, Signal::INT).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", text(&output.stderr));
    assert!(began.elapsed() < Duration::from_secs(50), "all of it takes a minute");
    assert!(small.listed(&[]).is_empty());
}

#[test]
fn one_thing_after_the_other() {
    let home = Home::make();
    let small = Small::start(&home, "a");
    let most = |jobs: &str| {
        let events = home.path(&format!("events-{jobs}"));
        small.ok(&["backup", "--quiet", "--jobs", jobs, "--events", events.to_str().unwrap()]);
        let (mut running, mut most) = (0, 0);
        for line in std::fs::read_to_string(events).unwrap().lines() {
            let event: Value = serde_json::from_str(line).unwrap();
            match event["event"].as_str().unwrap() {
                "step-began" => running += 1,
                "step-ended" => running -= 1,
                _ => {}
            }
            most = most.max(running);
        }
        most
    };
    assert_eq!((most("1"), most("2")), (1, 2));
    assert!(small.refused(&["backup", "--jobs", "0"]).contains("--jobs"));
}
