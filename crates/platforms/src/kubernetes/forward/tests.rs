//! Ends of connections that a real cluster cannot be made to have on demand.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;

use futures_util::StreamExt as _;
use serde_json::json;

use super::*;
use crate::kubernetes::scripted::{Far, Reply, cluster, hear, say, socket};

/// What a client reads that says "hello" and then no more.
fn read<F: Future<Output = ()> + Send + 'static>(
    play: impl Fn(Far) -> F + Clone + Send + Sync + 'static,
) -> (Vec<u8>, std::io::Result<()>, Option<String>) {
    let cluster = cluster(move |_, path, _| {
        assert_eq!(path, "/api/v1/namespaces/n/pods/p/portforward?ports=3306");
        let play = play.clone();
        socket(PROTOCOL, move |mut far| async move {
            for channel in [0, 1] {
                say(&mut far, channel, 3306_u16.to_le_bytes()).await;
            }
            play(far).await;
        })
    });
    let (began, forward) = (Instant::now(), cluster.forward(&Target::pod("n", "p"), 3306).unwrap());
    let mut client = std::net::TcpStream::connect(forward.address()).unwrap();
    client.write_all(b"hello").unwrap();
    // The far end has heard all of it, and may have broken the connection already.
    client.shutdown(Shutdown::Write).ok();
    let (mut bytes, mut buffer) = (Vec::new(), [0; 1000]);
    let ended = loop {
        match client.read(&mut buffer) {
            Ok(0) => break Ok(()),
            Ok(count) => bytes.extend_from_slice(&buffer[..count]),
            Err(error) => break Err(error),
        }
    };
    (bytes, ended, forward.trouble(began).map(|trouble| trouble.error().chain()))
}

#[test]
fn a_client_that_has_said_all_still_gets_its_answer() {
    let (bytes, ended, trouble) = read(|mut far| async move {
        hear(&mut far, "hello").await;
        say(&mut far, 0, "wor").await;
        say(&mut far, 0, "ld").await;
        far.close(None).await.ok();
        // A socket that is closed with something unread in it is reset, and takes along what was said.
        while let Some(Ok(_)) = far.next().await {}
    });
    assert_eq!((bytes.as_slice(), ended.is_ok(), trouble), (b"world".as_slice(), true, None));
}

#[test]
fn a_connection_that_broke_is_reset_and_never_ended() {
    let (_, ended, trouble) = read(|mut far| async move {
        hear(&mut far, "hello").await;
        say(&mut far, 0, "wor").await;
        far.get_ref().set_zero_linger().ok();
    });
    assert_eq!(ended.unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert!(trouble.is_some());
}

#[test]
fn an_error_over_there_is_told_and_resets() {
    let (_, ended, trouble) = read(|mut far| async move {
        hear(&mut far, "hello").await;
        say(&mut far, 1, "connection refused").await;
        far.close(None).await.ok();
    });
    assert_eq!(ended.unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert!(trouble.unwrap().contains("connection refused"));
}

#[test]
fn that_this_user_may_forward_no_ports_is_told_with_the_rule() {
    let cluster = cluster(|_, path, _| {
        assert!(path.contains("/pods/p/portforward"), "{path}");
        Reply::Json(
            403,
            json!({"reason": "Forbidden", "message": "pods \"p\" is forbidden: User \"u\" cannot create resource \"pods/portforward\" in API group \"\""}),
        )
    });
    let (began, forward) = (Instant::now(), cluster.forward(&Target::pod("n", "p"), 3306).unwrap());
    let mut client = std::net::TcpStream::connect(forward.address()).unwrap();
    assert!(client.read(&mut [0; 10]).is_err());
    let trouble = forward.trouble(began).unwrap().error();
    assert_eq!(trouble.class(), Class::Refused);
    assert!(trouble.hints().iter().any(|hint| hint.contains("resources: [\"pods/portforward\"]")), "{trouble:?}");
    assert_eq!(forward.trouble(Instant::now()), None, "it is of before");
}
