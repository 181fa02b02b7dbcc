//! Serves a bucket for `scripts/bench`: `bucket OBJECTS BYTES`, so many objects of so many bytes each, in memory.
//!
//! Lines of standard input: `digest` prints one over keys and contents, `empty` removes all objects. It ends when standard input closes.

#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a program for a script")]

use std::io::BufRead as _;

use lab::S3;
use sha2::{Digest as _, Sha256};

fn main() {
    let numbers: Vec<usize> = std::env::args().skip(1).map(|text| text.parse().unwrap()).collect();
    let [objects, bytes] = numbers.as_slice() else { panic!("usage: bucket OBJECTS BYTES") };
    let s3 = S3::start().unwrap();
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    for number in 0..*objects {
        s3.put(&format!("tenant-{}/2026/{:02}/{number}.png", number % 97, number % 12 + 1), random(&mut state, *bytes), &[]);
    }
    // What was put in this second may still change within it: a set reads it again.
    s3.pass(10);
    let (id, secret) = s3.keys();
    println!("{} {} {id} {secret}", s3.endpoint(), s3.bucket());
    for line in std::io::stdin().lock().lines() {
        match line.unwrap().as_str() {
            "digest" => println!("{}", digest(&s3)),
            "empty" => {
                s3.objects().keys().for_each(|key| s3.remove(key));
                println!("empty");
            }
            other => println!("{other}?"),
        }
    }
}

/// Bytes that no compressor makes smaller (xorshift64).
fn random(state: &mut u64, count: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(count + 8);
    while bytes.len() < count {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(count);
    bytes
}

fn digest(s3: &S3) -> String {
    let mut all = Sha256::new();
    for (key, object) in s3.objects() {
        all.update(key.as_bytes());
        all.update(Sha256::digest(object.bytes.as_slice()));
    }
    all.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
