//! The script under the shells that this machine has, without a cluster.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::io::{Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::*;

fn start(shell: &str, program: &Program) -> Child {
    let line = command_line(program);
    Command::new(shell)
        .args(line.get(1..).unwrap())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .unwrap()
}

fn shells() -> Vec<&'static str> {
    ["sh", "bash", "dash"].into_iter().filter(|shell| Command::new(shell).args(["-c", "true"]).status().is_ok()).collect()
}

/// Reads everything while `input` goes in; `bye` follows when the trailer came.
fn converse(shell: &str, program: &Program, input: &[&[u8]]) -> (Vec<u8>, i32, std::process::ExitStatus) {
    let mark = Mark::new().unwrap();
    let mut child = start(shell, program);
    let mut stdin = child.stdin.take().unwrap();
    let mut sent = greeting(&mark, program).unwrap();
    let mut digest = Sha256::new();
    for chunk in input {
        sent.extend_from_slice(frame_head(chunk.len()).as_bytes());
        sent.extend_from_slice(chunk);
        digest.update(chunk);
    }
    sent.extend_from_slice(end_of_input(&hex_digest(digest)).as_bytes());
    let writer = std::thread::spawn(move || {
        stdin.write_all(&sent).unwrap();
        stdin
    });
    let (mut trailer, mut data, mut buffer) = (Trailer::new(mark), Vec::new(), vec![0; 10_000]);
    let status = loop {
        let count = child.stdout.as_mut().unwrap().read(&mut buffer).unwrap();
        assert!(count > 0, "it ended without a trailer: {:?}", child.wait_with_output());
        data.extend_from_slice(&trailer.take(Bytes::copy_from_slice(&buffer[..count])));
        if let Some(status) = trailer.status() {
            break status.unwrap();
        }
    };
    writer.join().unwrap().write_all(BYE.as_bytes()).unwrap();
    (data, status, child.wait().unwrap())
}

#[test]
fn output_input_status_and_environment_pass_under_every_shell() {
    for shell in shells() {
        let mut program = Program::script("printf '%s|' \"$SECRET\" \"$1\"; cat; exit 7", &["an argument"]).with_input();
        program.environment.push(("SECRET".to_owned(), "a'b\n\"$c\\\n".to_owned().into()));
        let chunk: Vec<u8> = (0..300_000_u32).map(|n| (n % 251) as u8).collect();
        let (data, status, ended) = converse(shell, &program, &[&chunk, b"\n0\n", &chunk]);
        assert_eq!(status, 7, "{shell}");
        assert!(ended.success(), "{shell}: {ended}");
        assert_eq!(data, [b"a'b\n\"$c\\\n|an argument|", chunk.as_slice(), b"\n0\n", &chunk].concat(), "{shell}");
    }
}

#[test]
fn a_program_that_reads_nothing_ends_with_its_status() {
    for shell in shells() {
        let big = vec![7; 3 << 20];
        let (data, status, ended) = converse(shell, &Program::script("echo no; exit 3", &[]).with_input(), &[&big]);
        assert_eq!((data.as_slice(), status, ended.success()), (b"no\n".as_slice(), 3, true), "{shell}");
        let (data, status, _) = converse(shell, &Program { command: vec!["no-such-program".into()], ..Program::default() }, &[]);
        assert_eq!((data.as_slice(), status), (b"".as_slice(), 127), "{shell}");
    }
}

/// Whether the program is told that it has the whole input: it must not.
fn ends_killed_after(shell: &str, sent: impl FnOnce(&Mark) -> Vec<u8>) {
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole");
    let program = Program::script("cat >/dev/null; touch \"$1\"; sleep 100", &[whole.to_str().unwrap()]).with_input();
    let mut child = start(shell, &program);
    let mark = Mark::new().unwrap();
    let mut bytes = greeting(&mark, &program).unwrap();
    bytes.extend(sent(&mark));
    child.stdin.take().unwrap().write_all(&bytes).unwrap();
    let (began, ended) = (Instant::now(), child.wait().unwrap());
    assert_eq!(ended.signal(), Some(9), "{shell}");
    assert!(began.elapsed() < Duration::from_secs(20), "{shell}");
    assert!(!whole.exists(), "{shell}: the program took a part for the whole");
}

#[test]
fn a_broken_connection_kills_the_program_and_never_ends_its_input() {
    for shell in shells() {
        ends_killed_after(shell, |_| b"5\nhello".to_vec());
        ends_killed_after(shell, |_| b"5\nhel".to_vec());
        ends_killed_after(shell, |_| b"5\nhello0\n".to_vec());
    }
}

#[test]
fn damaged_input_kills_the_program() {
    for shell in shells() {
        ends_killed_after(shell, |_| [b"5\nhellO", end_of_input(&hex_digest(Sha256::new_with_prefix(b"hello"))).as_bytes()].concat());
    }
}

#[test]
fn a_client_that_goes_away_ends_a_silent_program() {
    for shell in shells() {
        let program = Program::script("sleep 100", &[]);
        let mut child = start(shell, &program);
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(&greeting(&Mark::new().unwrap(), &program).unwrap()).unwrap();
        stdin.write_all(no_input().as_bytes()).unwrap();
        drop(stdin);
        assert_eq!(child.wait().unwrap().signal(), Some(9), "{shell}");
    }
}

#[test]
fn a_program_that_stops_early_is_told_from_one_that_was_cut() {
    let mark = Mark(String::from_utf8(vec![b'a'; MARK_BYTES]).unwrap());
    let mut trailer = Trailer::new(mark.clone());
    let data = Bytes::from_static(b"data");
    let status = format!("\n{} 000", mark.0);
    let digest = hex_digest(Sha256::new_with_prefix([&data[..], status.as_bytes()].concat()));
    let whole = format!("{status} {digest} {:020}\n", data.len() + status.len());
    assert_eq!(whole.len(), TRAILER_BYTES);
    trailer.take(data.clone());
    trailer.take(Bytes::from(whole.clone()));
    assert_eq!(trailer.status(), Some(Ok(0)));
    let mut cut = Trailer::new(mark.clone());
    cut.take(Bytes::from_static(b"dat"));
    cut.take(Bytes::from(whole.clone()));
    assert!(cut.status().unwrap().unwrap_err().contains("4 bytes, 3 came"));
    let mut other = Trailer::new(mark);
    other.take(Bytes::from_static(b"dato"));
    other.take(Bytes::from(whole));
    assert!(other.status().unwrap().is_err());
}

#[test]
fn only_what_may_be_the_trailer_is_held_back() {
    let mark = Mark::new().unwrap();
    let mut trailer = Trailer::new(mark.clone());
    assert_eq!(&trailer.take(Bytes::from_static(b"a line\n"))[..], b"a line");
    assert_eq!(&trailer.take(Bytes::from_static(b"x"))[..], b"\nx");
    let begin = format!("\n{}", mark.0.get(..10).unwrap());
    assert_eq!(&trailer.take(Bytes::from(begin.clone()))[..], b"");
    let then = format!("no\n{}", mark.0.get(..3).unwrap());
    assert_eq!(&trailer.take(Bytes::from(then))[..], format!("{begin}no").as_bytes());
    assert_eq!(trailer.length(), 8 + begin.len() as u64 + 2);
}
