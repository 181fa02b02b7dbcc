//! Streams that a real API server cannot be made to break on demand.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::io::{Read, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use plan::Class;
use sha2::{Digest, Sha256};

use super::*;
use crate::kubernetes::scripted::{Far, Reply, cluster, hear, say, socket};

const V4: &str = "v4.channel.k8s.io";
const V5: &str = "v5.channel.k8s.io";
const SUCCESS: &str = r#"{"status":"Success"}"#;

fn context() -> Context {
    Context::new("r")
}

/// The end of a stream, as the script would say it.
fn trailer(mark: &str, data: &[u8], status: u8) -> String {
    let status = format!("\n{mark} {status:03}");
    let digest = script::hex_digest(Sha256::new_with_prefix([data, status.as_bytes()].concat()));
    format!("{status} {digest} {:020}\n", data.len() + status.len())
}

async fn mark(far: &mut Far) -> String {
    let greeting = hear(far, "go\n").await;
    String::from_utf8(greeting).unwrap().lines().next().unwrap().to_owned()
}

/// What a reader and `finish` get from a server that plays so.
fn run<F: Future<Output = ()> + Send + 'static>(
    protocol: &'static str,
    play: impl Fn(Far) -> F + Clone + Send + Sync + 'static,
) -> (Result<Vec<u8>, String>, Result<Ended>) {
    let cluster = cluster(move |_, path, _| {
        assert!(path.starts_with("/api/v1/namespaces/n/pods/p/exec?stdin=true&stdout=true&stderr=true&container=c&command=sh&"), "{path}");
        socket(protocol, play.clone())
    });
    let remote = cluster.remote(Target::pod("n", "p"), None);
    let mut process = remote.start(&context(), &Program::script("x", &[])).unwrap();
    let mut bytes = Vec::new();
    let read = process.output().unwrap().read_to_end(&mut bytes).map(|_| bytes).map_err(|error| error.to_string());
    (read, process.finish())
}

/// Neither the reader nor `finish` may take it for whole.
fn breaks<F: Future<Output = ()> + Send + 'static>(play: impl Fn(Far) -> F + Clone + Send + Sync + 'static) -> String {
    let (read, ended) = run(V4, play);
    assert!(read.is_err(), "{read:?}");
    let error = ended.unwrap_err();
    assert_eq!(error.class(), Class::Transient, "{error:?}");
    error.chain()
}

#[test]
fn a_whole_stream_is_acknowledged_and_ends_with_the_programs_status() {
    for protocol in [V4, V5] {
        let (read, ended) = run(protocol, |mut far| async move {
            for channel in 0..4 {
                say(&mut far, channel, "").await;
            }
            let mark = mark(&mut far).await;
            say(&mut far, 2, "words").await;
            say(&mut far, 1, "da\nta").await;
            let trailer = trailer(&mark, b"da\nta", 7);
            say(&mut far, 1, &trailer[..50]).await;
            say(&mut far, 1, &trailer[50..]).await;
            hear(&mut far, "bye\n").await;
            say(&mut far, 3, SUCCESS).await;
            far.close(None).await.ok();
        });
        assert_eq!(read.unwrap(), b"da\nta");
        assert_eq!(ended.unwrap(), Ended { status: 7, said: "words".into() });
    }
}

#[test]
fn output_that_is_truncated_with_success_is_an_error() {
    let why = breaks(|mut far| async move {
        mark(&mut far).await;
        say(&mut far, 1, "dat").await;
        say(&mut far, 3, SUCCESS).await;
        far.close(None).await.ok();
    });
    assert!(why.contains("truncated"), "{why}");
}

#[test]
fn a_lost_message_in_the_middle_is_an_error() {
    let why = breaks(|mut far| async move {
        let mark = mark(&mut far).await;
        say(&mut far, 1, "da").await;
        say(&mut far, 1, trailer(&mark, b"data", 0)).await;
        std::future::pending::<()>().await;
    });
    assert!(why.contains("the source sent 4 bytes, 2 came"), "{why}");
    let why = breaks(|mut far| async move {
        let mark = mark(&mut far).await;
        say(&mut far, 1, "dato").await;
        say(&mut far, 1, trailer(&mark, b"data", 0)).await;
        std::future::pending::<()>().await;
    });
    assert!(why.contains("not those that the source sent"), "{why}");
}

#[test]
fn a_close_without_a_status_is_an_error_even_when_all_came() {
    let why = breaks(|mut far| async move {
        mark(&mut far).await;
        say(&mut far, 1, "data").await;
        far.close(None).await.ok();
    });
    assert!(why.contains("closed"), "{why}");
    let (read, ended) = run(V5, |mut far| async move {
        let mark = mark(&mut far).await;
        say(&mut far, 1, trailer(&mark, b"", 0)).await;
        far.close(None).await.ok();
    });
    assert_eq!(read.unwrap(), b"");
    assert_eq!(ended.unwrap_err().class(), Class::Transient);
}

#[test]
fn a_connection_that_breaks_is_an_error() {
    breaks(|mut far| async move {
        mark(&mut far).await;
        say(&mut far, 1, "data").await;
        far.get_ref().set_zero_linger().ok();
    });
}

#[test]
fn a_connection_that_says_nothing_and_answers_no_ping_is_given_up() {
    let began = Instant::now();
    let why = breaks(|mut far| async move {
        mark(&mut far).await;
        // Answers for a while, and then no more.
        tokio::time::timeout(Duration::from_secs(1), hear(&mut far, "never")).await.ok();
        std::future::pending::<()>().await;
    });
    assert!(why.contains("nothing came for 2 seconds"), "{why}");
    assert!(began.elapsed() < Duration::from_secs(30));
}

#[test]
fn what_the_api_server_says_about_the_end_is_told() {
    let (read, ended) = run(V4, |mut far| async move {
        mark(&mut far).await;
        say(&mut far, 2, "sh: sha256sum: not found").await;
        let causes = r#"{"status":"Failure","details":{"causes":[{"reason":"ExitCode","message":"127"}]}}"#;
        say(&mut far, 3, causes).await;
        far.close(None).await.ok();
    });
    assert!(read.unwrap_err().contains("no usable shell"));
    let error = ended.unwrap_err();
    assert!(error.hints().iter().any(|hint| hint.contains("sha256sum: not found")), "{error:?}");
}

/// Pods that are deleted end so, and others come: what was begun may be tried again. An exit status of the script's own says that it will not help.
#[test]
fn a_program_that_was_killed_may_be_tried_again() {
    for (code, class) in [("137", Class::Transient), ("3", Class::Failed)] {
        let (_, ended) = run(V4, move |mut far| async move {
            mark(&mut far).await;
            let causes = format!(r#"{{"status":"Failure","details":{{"causes":[{{"reason":"ExitCode","message":"{code}"}}]}}}}"#);
            say(&mut far, 3, causes).await;
            far.close(None).await.ok();
        });
        let error = ended.unwrap_err();
        assert_eq!(error.class(), class, "{error:?}");
    }
}

#[test]
fn a_writer_is_told_when_nobody_reads_any_more() {
    let cluster = cluster(move |_, _, _| {
        socket(V4, |mut far| async move {
            let mark = mark(&mut far).await;
            say(&mut far, 1, trailer(&mark, b"", 1)).await;
            hear(&mut far, "0\nover\nbye\n").await;
            say(&mut far, 3, SUCCESS).await;
            far.close(None).await.ok();
        })
    });
    let remote = cluster.remote(Target::pod("n", "p"), None);
    let mut process = remote.start(&context(), &Program::script("x", &[]).with_input()).unwrap();
    let mut input = process.input().unwrap();
    let block = vec![0; 1 << 20];
    let error = loop {
        if let Err(error) = input.write_all(&block) {
            break error;
        }
    };
    assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe);
    drop(input);
    assert_eq!(process.finish().unwrap().status, 1);
}

#[test]
fn a_refused_exec_names_the_rule_and_a_busy_server_is_asked_again() {
    let asked = Arc::new(std::sync::atomic::AtomicU32::new(0));
    let cluster = cluster(move |_, path, _| match asked.fetch_add(1, std::sync::atomic::Ordering::SeqCst) {
        0 => Reply::Json(500, serde_json::json!({"reason": "InternalError", "message": "error dialing backend"})),
        1 => Reply::Nothing,
        2 => Reply::Json(429, serde_json::json!({"reason": "TooManyRequests"})),
        _ if path.contains("/exec") => Reply::Json(403, serde_json::json!({"reason": "Forbidden", "message": "no"})),
        _ => Reply::Json(404, serde_json::json!({})),
    });
    let error = cluster.remote(Target::pod("n", "p"), None).start(&context(), &Program::script("x", &[])).err().unwrap();
    assert_eq!(error.class(), Class::Refused, "{error:?}");
    assert!(error.hints().iter().any(|hint| hint.contains(r#"resources: ["pods/exec"], verbs: ["get"]"#)), "{error:?}");
}
