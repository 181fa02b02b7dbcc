//! The reader of RDB files, with files of all servers that were changed at random: it never panics, never hangs, never takes memory without bound, and tells
//! every damage that the checksum covers.

use std::process::Command;
use std::time::{Duration, Instant};

use lab::{Redis, RedisKind};

use super::damage::walk;
use super::generated::{Dice, fill};
use super::scene::*;
use crate::rdb::crc64::crc64;

const SEED: u64 = 20_261_129;
/// Changed files for each server.
const CASES: u64 = 1500;
/// No file of this size takes longer.
const LIMIT: Duration = Duration::from_secs(5);
/// In the child: where the files are.
const FOLDER: &str = "THREESCALE_BACKUP_FUZZ_FOLDER";
/// Address space of the child, KiB.
const MEMORY_KIB: &str = "900000";

fn changed(dice: &mut Dice, bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..=dice.below(3) {
        let at = usize::try_from(dice.below(bytes.len() as u64)).unwrap();
        let byte = dice.number().to_le_bytes()[0];
        match dice.below(7) {
            0 => bytes[at] ^= 1 << (byte % 8),
            1 => bytes[at] = byte,
            2 => bytes[at] = [0, 0x3f, 0x40, 0x80, 0x81, 0xc0, 0xc3, 0xff][usize::from(byte % 8)],
            // A length of any size.
            3 => drop(bytes.splice(at..at, [&[0x81][..], &dice.number().to_be_bytes()].concat())),
            4 => drop(bytes.splice(at..at, [&[0x80][..], &dice.number().to_be_bytes()[..4]].concat())),
            5 => drop(bytes.drain(at..(at + 1 + usize::from(byte % 16)).min(bytes.len()))),
            _ => {
                let end = (at + usize::from(byte)).min(bytes.len());
                let piece = bytes[at..end].to_vec();
                bytes.splice(at..at, piece);
            }
        }
        if bytes.is_empty() {
            bytes.push(byte);
        }
    }
    bytes
}

#[test]
fn files_that_were_changed_at_random_are_read_to_an_end_and_damage_is_told() {
    if let Some(folder) = std::env::var_os(FOLDER) {
        return in_the_child(std::path::Path::new(&folder));
    }
    let folder = tempfile::tempdir().unwrap();
    for (number, kind) in RedisKind::ALL.into_iter().enumerate() {
        let server = Redis::start_kind(kind, &["--repl-diskless-sync-delay", "0"]).unwrap();
        fill(&server, kind, &mut Dice::new(SEED), 12);
        if kind == RedisKind::NewestRedis {
            say(&mut connect(&server, 0), "VADD vectors VALUES 3 0 1 2 a SETATTR {\"a\":1}");
            say(&mut connect(&server, 0), "VADD vectors VALUES 3 1 1 2 b");
        }
        std::fs::write(folder.path().join(number.to_string()), backup(&store(&server)).unwrap().snapshot.rdb("storage")).unwrap();
    }
    // In a process of its own, whose memory has a limit.
    let script = format!(
        "ulimit -v {MEMORY_KIB} && exec \"$0\" --exact --nocapture tests::fuzz::files_that_were_changed_at_random_are_read_to_an_end_and_damage_is_told"
    );
    let output =
        Command::new("sh").args(["-c", &script]).arg(std::env::current_exe().unwrap()).env(FOLDER, folder.path()).output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

fn in_the_child(folder: &std::path::Path) {
    let given = std::env::var("THREESCALE_BACKUP_SEED").ok().and_then(|seed| seed.parse::<u64>().ok());
    let mut dice = Dice::new(given.unwrap_or(SEED));
    for kind in 0..RedisKind::ALL.len() {
        let whole = std::fs::read(folder.join(kind.to_string())).unwrap();
        walk(&whole).unwrap();
        let mut read_to_the_end = 0;
        for case in 0..CASES {
            let mut bytes = changed(&mut dice, &whole);
            let begun = Instant::now();
            // A header without a checksum is another format, of which nothing can be told.
            let told = walk(&bytes).is_err() || bytes == whole || bytes.get(..9) != whole.get(..9);
            assert!(told, "server {kind}, case {case}: damage that the checksum covers");
            if bytes.len() > 9 {
                // With a checksum that fits: whatever it is, it comes to an end.
                let end = bytes.len() - 8;
                let crc = crc64(0, &bytes[..end]);
                bytes[end..].copy_from_slice(&crc.to_le_bytes());
                read_to_the_end += u32::from(walk(&bytes).is_ok());
            }
            assert!(begun.elapsed() < LIMIT, "server {kind}, case {case}: {:?}", begun.elapsed());
        }
        // Some changes are of bytes that a value may have: else the reader was hardly reached.
        assert!(read_to_the_end > 20, "server {kind}: {read_to_the_end}");
    }
}
