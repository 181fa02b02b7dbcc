//! Against archives that the real `pg_dump` makes, cut and damaged in many ways: what is not changed goes on byte for byte, and nothing panics or grows.

#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::tests::{RICH, psql};

fn archive() -> Vec<u8> {
    let server = lab::Postgres::start(&[]).unwrap();
    psql(&server, "postgres", "CREATE ROLE zync; CREATE ROLE reader");
    psql(&server, "postgres", RICH);
    let mut command = server.program("pg_dump");
    let output = command.args(["--format=custom", "--compress=0"]).output().unwrap();
    assert!(output.status.success());
    output.stdout
}

fn passed(archive: &[u8], piece_bytes: usize, mut each: impl FnMut(&mut Entry)) -> Result<(Vec<u8>, bool)> {
    let (mut contents, mut out) = (Contents::new(), Vec::new());
    for piece in archive.chunks(piece_bytes.max(1)) {
        out.extend_from_slice(&contents.pass(piece, |entry| {
            each(entry);
            Ok(())
        })?);
    }
    Ok((out, contents.is_read()))
}

/// A generator that needs no crate, and whose seed is printed.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(end).unwrap()).unwrap()
    }
}

#[test]
fn what_is_not_changed_goes_on_byte_for_byte_and_damage_is_an_error_or_passes() {
    let archive = archive();
    let mut kinds = std::collections::BTreeSet::new();
    for piece_bytes in [1 << 20, 4096, 777] {
        let (out, is_read) = passed(&archive, piece_bytes, |entry| _ = kinds.insert(entry.kind().to_owned())).unwrap();
        assert!(is_read && out == archive, "pieces of {piece_bytes} bytes");
    }
    for kind in ["TABLE", "ACL", "POLICY", "EXTENSION", "DEFAULT ACL", "FUNCTION", "COMMENT"] {
        assert!(kinds.contains(kind), "{kind}: {kinds:?}");
    }
    // Written anew, with a change that is taken back.
    let (out, _) = passed(&archive, 4096, |entry| entry.owner.get_or_insert_default().extend(b"x")).unwrap();
    let (out, _) = passed(&out, 4096, |entry| _ = entry.owner.as_mut().unwrap().pop()).unwrap();
    assert_eq!(out.len(), archive.len());

    let seed: u64 = std::env::var("THREESCALE_BACKUP_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(20_261_129);
    let mut numbers = Numbers(u64::max(seed, 1));
    let mut failed = 0;
    let head = archive.windows(10).position(|bytes| bytes == b"TABLE DATA").unwrap();
    for _ in 0..2000 {
        let mut damaged = archive[..head].to_vec();
        for _ in 0..=numbers.below(4) {
            let at = numbers.below(damaged.len());
            damaged[at] = u8::try_from(numbers.below(256)).unwrap();
        }
        damaged.truncate(numbers.below(damaged.len()) + 1);
        match passed(&damaged, numbers.below(9000), |entry| entry.leave_out()) {
            Ok((_, is_read)) => failed += u32::from(!is_read),
            Err(error) => {
                assert_eq!(error.class(), plan::Class::Failed, "seed {seed}");
                failed += 1;
            }
        }
    }
    assert!(failed > 1900, "{failed}, seed {seed}");
}
