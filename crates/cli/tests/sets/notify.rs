//! `[notify]`: who is told how a command ended; what becomes of that harms nothing.

use serde_json::Value;

use crate::sink::{Answer, Sink};
use crate::small::{Home, Small, command};
use crate::support::text;

const ABSENT: [&str; 3] = ["system-database", "zync-database", "backend-redis"];

fn configure(a: &Small<'_>, notify: &str) {
    a.configure(&format!("[installation]\nname = \"a\"\n[notify]\n{notify}"), &ABSENT);
}

/// Runs it; the exit code and standard error.
fn run(a: &Small<'_>, arguments: &[&str]) -> (i32, String) {
    let output = a.run(arguments);
    (output.status.code().unwrap(), text(&output.stderr))
}

#[test]
fn failures_are_told_and_the_first_success_after_them() {
    let home = Home::make();
    let a = Small::start(&home, "a");
    let (hook, ping) = (Sink::start(Answer::Taken), Sink::start(Answer::Taken));
    let notify = format!("webhook-url = {:?}\nping-url = {:?}\n", hook.url("/services/T0/secret"), ping.url("/id"));
    configure(&a, &notify);
    assert_eq!(run(&a, &["backup"]).0, 0);
    let paths = |sink: &Sink| sink.posts().into_iter().map(|(path, _)| path).collect::<Vec<_>>();
    assert_eq!((paths(&ping), paths(&hook)), (vec!["/id/start".to_owned(), "/id".to_owned()], Vec::new()));

    let hidden = home.path("hidden");
    std::fs::rename(home.path("a-files"), &hidden).unwrap();
    let (code, said) = run(&a, &["backup"]);
    assert!(code != 0 && !said.contains("was not told"), "{said}");
    assert_eq!(paths(&ping), ["/id/start", "/id/fail"]);
    let posts = hook.posts();
    let message: Value = serde_json::from_str(&posts[0].1).unwrap();
    assert_eq!((posts.len(), posts[0].0.as_str()), (1, "/services/T0/secret"));
    assert_eq!((&message["event"], &message["command"], &message["installation"]), (&"failed".into(), &"backup".into(), &"a".into()));
    assert_eq!(message["exit_code"], code);
    for part in message["error"].as_str().unwrap().split(": ") {
        assert!(said.contains(part), "what is told is what was said: {said} {message}");
    }
    assert!(message["text"].as_str().unwrap().starts_with("threescale-backup backup of a FAILED after "), "{message}");

    std::fs::rename(&hidden, home.path("a-files")).unwrap();
    assert_eq!(run(&a, &["backup"]).0, 0);
    let posts = hook.posts();
    assert!(posts.len() == 1 && posts[0].1.contains("\"event\":\"recovered\""), "{posts:?}");
    assert_eq!(run(&a, &["backup"]).0, 0);
    assert_eq!(run(&a, &["list"]).0, 0);
    assert_eq!(hook.posts(), []);
    // Whoever asks for it is told of successes too, in the form that his service takes.
    ping.posts();
    configure(&a, &format!("{notify}on = \"everything\"\nwebhook-format = \"slack\"\n"));
    assert_eq!(run(&a, &["check"]).0, 0);
    let slack: Value = serde_json::from_str(&hook.posts()[0].1).unwrap();
    assert!(slack["text"].as_str().unwrap().starts_with("threescale-backup check of a succeeded after "), "{slack}");
    assert_eq!(ping.posts(), [], "of backups only");
    configure(&a, &format!("{notify}on = \"everything\"\nwebhook-format = \"teams\"\n"));
    assert_eq!(run(&a, &["check"]).0, 0);
    let teams: Value = serde_json::from_str(&hook.posts()[0].1).unwrap();
    assert!(teams["attachments"][0]["content"]["body"][0]["text"].as_str().unwrap().contains("check of a succeeded"), "{teams}");
}

#[test]
fn a_command_gets_the_message_and_none_of_our_secrets() {
    let home = Home::make();
    let a = Small::start(&home, "a");
    let (message, environment) = (home.path("message"), home.path("environment"));
    configure(&a, &format!("on = \"everything\"\ncommand = \"cat > {}; env > {}\"\n", message.display(), environment.display()));
    let output = a.command(&["backup"]).env("THREESCALE_BACKUP_NOTIFY_WEBHOOK_URL", "http://127.0.0.1:1/token-in-a-url").output().unwrap();
    // The webhook leads nowhere: the set is there, and the address is not in the warning.
    assert!(output.status.success());
    let said = text(&output.stderr);
    assert!(said.contains("[notify] webhook-url was not told: failed to reach http://127.0.0.1:1") && !said.contains("token-in"), "{said}");
    let message: Value = serde_json::from_slice(&std::fs::read(message).unwrap()).unwrap();
    assert_eq!((&message["event"], &message["exit_code"]), (&"succeeded".into(), &0.into()));
    assert!(!std::fs::read_to_string(environment).unwrap().contains("token-in"));
}

#[test]
fn a_target_that_refuses_fails_or_is_silent_harms_nothing() {
    let home = Home::make();
    let a = Small::start(&home, "a");
    let (refuses, silent) = (Sink::start(Answer::Refused), Sink::start(Answer::Silent));
    configure(&a, &format!("on = \"everything\"\nwebhook-url = {:?}\ncommand = \"exit 3\"\n", refuses.url("/x?key=wabash")));
    let (code, said) = run(&a, &["check"]);
    assert!(
        code == 0 && said.contains("answer 403 Forbidden from http://127.0.0.1") && said.contains("it ended with exit status: 3"),
        "{said}"
    );
    assert!(!said.contains("wabash"));
    configure(&a, &format!("on = \"everything\"\nwebhook-url = {:?}\n", silent.url("/x?key=wabash")));
    let (code, said) = run(&a, &["check"]);
    assert!(code == 0 && said.contains("was not told") && !said.contains("wabash"), "{said}");
    configure(&a, "webhook-url = \"ftp://host/wabash\"\non = \"everything\"\n");
    let (code, said) = run(&a, &["check"]);
    assert!(code == 0 && said.contains("the address is not one of HTTP") && !said.contains("wabash"), "{said}");
    // A failure stays what it is.
    configure(&a, &format!("webhook-url = {:?}\n", refuses.url("/x")));
    assert_eq!(run(&a, &["rehearse", "nothing"]).0, 2);
}

#[test]
fn what_is_told_is_of_the_installation_that_is_meant() {
    let home = Home::make();
    let (a, b) = (Small::start(&home, "a"), Small::start(&home, "b"));
    let hook = Sink::start(Answer::Taken);
    let state = home.path("state");
    let told = |small: &Small<'_>, arguments: &[&str]| {
        command(&small.config(), &state, arguments).output().unwrap();
        let posts = hook.posts().into_iter().map(|(_, body)| serde_json::from_str::<Value>(&body).unwrap());
        posts
            .map(|message| format!("{} {}", message["event"].as_str().unwrap(), message["installation"].as_str().unwrap()))
            .collect::<Vec<_>>()
    };
    configure(&a, &format!("webhook-url = {:?}\n", hook.url("/x")));
    b.configure(&format!("[installation]\nname = \"b\"\n[notify]\nwebhook-url = {:?}\n", hook.url("/x")), &ABSENT);
    a.backup(&[]);
    assert_eq!(told(&b, &["status"]), ["failed b"], "it has no set");
    assert_eq!(told(&a, &["status"]), Vec::<String>::new(), "another one has failed");
    assert_eq!(told(&a, &["status", "--installation", "b"]), ["failed b"]);
    assert_eq!(told(&a, &["status"]), Vec::<String>::new());
    b.backup(&[]);
    assert_eq!(told(&b, &["status"]), ["recovered b"]);
    // The reasons are in what is told.
    b.run(&["status", "--max-unproven", "8d"]);
    assert!(hook.posts()[0].1.contains("no whole set was ever proven"));
}

#[test]
fn an_address_that_cannot_be_had_stops_nothing_and_silences_no_other() {
    let home = Home::make();
    let a = Small::start(&home, "a");
    let (hook, ping, said) = (Sink::start(Answer::Taken), Sink::start(Answer::Taken), home.path("said"));
    let everything = format!("on = \"everything\"\ncommand = \"cat > {}\"\n", said.display());
    configure(&a, &format!("{everything}webhook-url-command = \"exec 2>/dev/null; sleep 15\"\nping-url = {:?}\n", ping.url("/id")));
    let begun = std::time::Instant::now();
    let (code, told) = run(&a, &["backup"]);
    assert!(code == 0 && told.contains("[notify] webhook-url was not told") && told.contains("it was not there within 10 s"), "{told}");
    assert!(begun.elapsed() < std::time::Duration::from_secs(120) && ping.posts().len() == 2 && said.exists());
    std::fs::remove_file(&said).unwrap();
    configure(&a, &format!("{everything}webhook-url = {:?}\nping-url-file = \"/nowhere/at/all\"\n", hook.url("/x")));
    let (code, told) = run(&a, &["backup"]);
    assert!(code == 0 && told.contains("[notify] ping-url was not told") && hook.posts().len() == 1 && said.exists(), "{told}");
    // What can be known before is said by `config check`.
    assert!(run(&a, &["config", "check"]).0 == 2);
    for wrong in ["webhook-url = \"ftp://wabash\"\n".to_owned(), format!("ping-url = {:?}\nca-file = \"/nowhere\"\n", ping.url("/id"))] {
        configure(&a, &wrong);
        let output = a.run(&["config", "check"]);
        let told = text(&output.stdout) + &text(&output.stderr);
        assert!(output.status.code() == Some(2) && told.contains("cannot be used") && !told.contains("wabash"), "{told}");
    }
}
