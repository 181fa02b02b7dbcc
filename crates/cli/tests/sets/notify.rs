//! `[notify]`: who is told how a command ended; what becomes of that harms nothing.

use lab::{Shown, Smtp, SmtpMode, SmtpWants, Tls};
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

/// A mail as Python's library reads it: headers that count, and the text.
fn read(mail: &lab::SmtpMail) -> Value {
    const READ: &str = "import email.policy, email.utils, json, sys
m = email.message_from_binary_file(sys.stdin.buffer, policy=email.policy.default)
to = [str(a.addr_spec) for a in m['to'].addresses]
print(json.dumps(dict(subject=m['subject'], to=to, sender=m['from'].addresses[0].addr_spec, id=m['message-id'], auto=m['auto-submitted'], type=m.get_content_type(), date=m['date'].datetime.timestamp(), text=m.get_content())))";
    let mut python = std::process::Command::new("python3");
    let python = python.args(["-c", READ]).stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped()).spawn();
    let mut python = python.unwrap();
    std::io::Write::write_all(&mut python.stdin.take().unwrap(), (mail.lines.join("\r\n") + "\r\n").as_bytes()).unwrap();
    serde_json::from_slice(&python.wait_with_output().unwrap().stdout).unwrap()
}

#[test]
fn mail_goes_to_several_people_over_tls_by_a_login_that_nobody_else_hears_of() {
    // user and wabash, as PLAIN has them (RFC 4616).
    const LOGIN: &str = "AHVzZXIAd2FiYXNo";
    let home = Home::make();
    let a = Small::start(&home, "a");
    std::fs::create_dir(home.path("tls")).unwrap();
    let tls = Tls::make(&home.path("tls")).unwrap();
    std::fs::write(home.path("password"), "wabash\n").unwrap();
    std::fs::write(home.path("wrong"), "other\n").unwrap();
    let people = "on = \"everything\"\n[notify.email]\nto = \"ops@example.com, Boss <boss@example.com>\"\nfrom = \"backup@example.com\"\n";
    let keys = |address: &str, server: &Smtp, more: &str| format!("{people}url = \"{address}127.0.0.1:{}\"\n{more}", server.port());
    let login = |file: &str| format!("password-file = {:?}\nca-file = {:?}\n", home.path(file), tls.ca());
    let wants = SmtpWants { login: Some(LOGIN), unknown: Some("boss@example.com"), ..SmtpWants::default() };
    let mut ids = std::collections::BTreeSet::new();
    for (scheme, mode) in [("smtps://user@", SmtpMode::Implicit), ("smtp://user@", SmtpMode::StartTls)] {
        let server = Smtp::start(mode, SmtpWants { unknown: None, ..wants }, &tls).unwrap();
        configure(&a, &keys(scheme, &server, &login("password")));
        assert_eq!(run(&a, &["config", "check"]).0, 0);
        let before = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64().floor();
        let (code, told) = run(&a, &["rehearse", "nothing"]);
        assert!(code == 2 && !told.contains("was not told"), "{told}");
        let taken = server.taken();
        assert_eq!(taken.len(), 1, "{taken:?}");
        let commands = &taken[0].commands;
        let at = |start: &str| commands.iter().position(|command| command.starts_with(start));
        assert!(at("MAIL FROM:<backup@example.com>") < at("RCPT TO:<ops@example.com>") && at("RCPT TO:<boss@example.com>").is_some());
        assert_eq!(at("STARTTLS").is_some(), mode == SmtpMode::StartTls);
        assert!(at("AUTH") > at("STARTTLS"), "not before the connection is secured: {commands:?}");
        let mail = read(&taken[0]);
        let subject = mail["subject"].as_str().unwrap();
        assert!(subject.starts_with("threescale-backup: rehearse of a FAILED ("), "{mail}");
        assert_eq!(mail["to"], serde_json::json!(["ops@example.com", "boss@example.com"]));
        assert_eq!(
            (&mail["sender"], &mail["type"], &mail["auto"]),
            (&"backup@example.com".into(), &"text/plain".into(), &"auto-generated".into())
        );
        assert!((before..before + 60.0).contains(&mail["date"].as_f64().unwrap()), "{mail}");
        assert!(ids.insert(mail["id"].as_str().unwrap().to_owned()) && mail["id"].as_str().unwrap().ends_with("@example.com>"));
        let letter = mail["text"].as_str().unwrap();
        assert!(letter.starts_with("rehearse of a FAILED after ") && letter.contains("\n    threescale-backup backup\n"), "{letter}");
        assert!(
            letter.contains("exit code 2.") && [told.as_str(), letter].iter().all(|text| text.contains("the repository has no set")),
            "{letter}"
        );
        // Other people get it, when one is not known there.
        let picky = Smtp::start(mode, wants, &tls).unwrap();
        configure(&a, &keys(scheme, &picky, &login("password")));
        let (code, told) = run(&a, &["check"]);
        assert!(code == 0 && told.contains("did not take the mail for some: boss@example.com: permanent error (550)"), "{told}");
        let taken = picky.taken();
        assert!(taken.len() == 1 && taken[0].commands.iter().any(|command| command == "RCPT TO:<ops@example.com>"), "{taken:?}");
        assert!(read(&taken[0])["subject"].as_str().unwrap().starts_with("threescale-backup: check of a "));
        // Who does not log in rightly is told so, once.
        configure(&a, &keys(scheme, &picky, &login("wrong")));
        let (code, told) = run(&a, &["check"]);
        assert!(code == 0 && told.contains("[notify] email was not told: 127.0.0.1:") && told.contains("(535)"), "{told}");
        assert!(picky.taken().is_empty() && !told.contains("other"), "{told}");
    }
    // Who is not who he should be, or does not secure the connection, hears neither login nor mail.
    let stranger = Smtp::start(SmtpMode::StartTls, wants, &tls.showing(Shown::OtherCa)).unwrap();
    let open = Smtp::start(SmtpMode::Plain, SmtpWants::default(), &tls).unwrap();
    for server in [&stranger, &open] {
        configure(&a, &keys("smtp://user@", server, &login("password")));
        let (code, told) = run(&a, &["check"]);
        assert!(code == 0 && told.contains("[notify] email was not told: 127.0.0.1:") && !told.contains("wabash"), "{told}");
        let heard = server.heard();
        assert!(
            !heard.is_empty() && !heard.iter().any(|line| ["AUTH", "MAIL", "DATA"].iter().any(|verb| line.starts_with(verb))),
            "{heard:?}"
        );
    }
    configure(&a, &keys("smtp+plain://", &open, ""));
    assert_eq!(run(&a, &["check"]).0, 0);
    assert_eq!(open.taken().len(), 1);
    let wrong = [
        keys("smtp+plain://user@", &open, &login("password")),
        keys("smtps://user:wabash@", &open, "ca-file = \"/nowhere\"\n"),
        format!("{people}url = \"smtp+plain://user:wabash@mail.example.com\"\n"),
        people.to_owned(),
        "[notify.email]\nurl = \"smtp://u:wabash@h\"\n".to_owned(),
    ];
    for wrong in wrong {
        configure(&a, &wrong);
        let output = a.run(&["config", "check"]);
        let told = text(&output.stdout) + &text(&output.stderr);
        assert!(
            output.status.code() == Some(2) && told.contains("[notify] email cannot be used") && !told.contains("wabash"),
            "{wrong} {told}"
        );
    }
    let shown = a.ok(&["config", "show"]);
    assert!(shown.contains("smtp://u:(hidden)@h") && !shown.contains("wabash"), "{shown}");
}

#[test]
fn a_mail_server_that_says_more_than_it_may_is_left_at_once() {
    let home = Home::make();
    let a = Small::start(&home, "a");
    std::fs::create_dir(home.path("tls")).unwrap();
    let tls = Tls::make(&home.path("tls")).unwrap();
    let keys = |address: &str, server: &Smtp| {
        let people = "on = \"everything\"\n[notify.email]\nto = \"ops@example.com\"\nfrom = \"backup@example.com\"\n";
        format!("{people}url = \"{address}127.0.0.1:{}\"\nca-file = {:?}\n", server.port(), tls.ca())
    };
    for (scheme, mode) in [("smtps://", SmtpMode::Implicit), ("smtp://", SmtpMode::StartTls), ("smtp+plain://", SmtpMode::Plain)] {
        let server = Smtp::start(mode, SmtpWants { is_endless: true, ..SmtpWants::default() }, &tls).unwrap();
        configure(&a, &keys(scheme, &server));
        let (code, told) = run(&a, &["check"]);
        assert!(code == 0 && told.contains("it says more than 1048576 bytes"), "{scheme} {told}");
        assert!(server.taken().is_empty());
    }
    // Answers that somebody put on the line before TLS began (one to EHLO; those to all that follows) are no answers.
    for more in ["250 lab", "250-lab\r\n250 AUTH PLAIN\r\n250 ok\r\n250 ok\r\n354 go on\r\n250 taken\r\n221 bye"] {
        let server = Smtp::start(SmtpMode::StartTls, SmtpWants { says_before_tls: Some(more), ..SmtpWants::default() }, &tls).unwrap();
        configure(&a, &keys("smtp://", &server));
        let (code, told) = run(&a, &["check"]);
        assert!(code == 0 && told.contains("connection error: more was said than the answer to STARTTLS, before TLS began"), "{told}");
        let heard = server.heard();
        assert!(server.taken().is_empty() && heard.last().is_some_and(|line| line == "STARTTLS"), "{heard:?}");
    }
}

#[test]
fn a_mail_to_many_has_lines_that_every_server_takes() {
    let home = Home::make();
    let a = Small::start(&home, "a");
    std::fs::create_dir(home.path("tls")).unwrap();
    let server = Smtp::start(SmtpMode::Plain, SmtpWants::default(), &Tls::make(&home.path("tls")).unwrap()).unwrap();
    let people: Vec<_> = (0..100).map(|number| format!("operations-of-site-{number}@mail.example.com")).collect();
    let names = people.iter().map(|mailbox| format!("Jürgen of the operations <{mailbox}>")).collect::<Vec<_>>().join(", ");
    let email = "on = \"everything\"\n[notify.email]\nfrom = \"backup@example.com\"\n";
    configure(&a, &format!("{email}to = \"{names}\"\nurl = \"smtp+plain://127.0.0.1:{}\"\n", server.port()));
    let (code, told) = run(&a, &["check"]);
    assert!(code == 0 && !told.contains("was not told"), "{told}");
    let taken = server.taken();
    assert_eq!(taken.len(), 1);
    assert_eq!(read(&taken[0])["to"], serde_json::json!(people));
    assert_eq!(taken[0].commands.iter().filter(|command| command.starts_with("RCPT TO:")).count(), people.len());
    // RFC 5322, section 2.1.1.
    let longest = taken[0].lines.iter().max_by_key(|line| line.len()).unwrap();
    assert!(longest.len() <= 998 && taken[0].lines.iter().any(|line| line.starts_with(' ')), "{}: {longest}", longest.len());
}
