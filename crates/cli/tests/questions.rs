//! Questions at a terminal: what was typed before is no answer, Ctrl-C and a terminal that goes away end them at once, the end of the input is a no.
#![expect(clippy::unwrap_used, reason = "tests")]

#[expect(dead_code, reason = "other tests use the rest")]
mod support;

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

/// Nothing here takes longer, on however busy a machine.
const LIMIT: Duration = Duration::from_secs(60);

/// A terminal, with a person at it.
struct Terminal {
    person: Option<File>,
    seen: String,
}

impl Terminal {
    /// A terminal at which something was typed already.
    fn typed_ahead(text: &str) -> Self {
        // The program must not hold the end of the person.
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let mut person = File::from(master);
        person.write_all(text.as_bytes()).unwrap();
        Self { person: Some(person), seen: String::new() }
    }

    /// Starts the program in a session of its own, on this terminal. It asks before it looks for a cluster.
    fn ask(&self, hang_up: &str, arguments: &[&str]) -> Child {
        self.start(hang_up, arguments, &support::program(arguments))
    }

    /// The same, with the environment that a program has.
    fn start(&self, hang_up: &str, arguments: &[&str], of_program: &Command) -> Child {
        let name = ptsname(self.person.as_ref().unwrap(), Vec::new()).unwrap();
        let side = || File::options().read(true).write(true).open(name.to_str().unwrap()).unwrap();
        let mut command = Command::new("env");
        // Whoever runs these tests may have been told to outlive a terminal.
        command.args([hang_up, "setsid", "--ctty", support::PROGRAM]).args(arguments);
        for (name, value) in of_program.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command.env("KUBECONFIG", "/nowhere/kubeconfig").env("HOME", "/nowhere");
        command.stdin(side()).stdout(Stdio::null()).stderr(side()).current_dir("/").spawn().unwrap()
    }

    /// Waits until the program has written this to the terminal.
    fn wait_for(&mut self, text: &str) {
        let began = Instant::now();
        let person = self.person.as_mut().unwrap();
        while !self.seen.contains(text) {
            assert!(began.elapsed() < LIMIT, "{text:?} did not come: {:?}", self.seen);
            let tick = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
            if poll(&mut [PollFd::new(person, PollFlags::IN)], Some(&tick)).unwrap() > 0 {
                let mut buffer = [0; 1024];
                // Until the program has opened its side there is an error here.
                let length = person.read(&mut buffer).unwrap_or(0);
                self.seen.push_str(&String::from_utf8_lossy(&buffer[..length]));
            }
        }
    }

    fn typed(&mut self, text: &str) {
        self.person.as_mut().unwrap().write_all(text.as_bytes()).unwrap();
    }

    fn goes_away(&mut self) {
        self.person = None;
    }
}

fn ended(child: &mut Child) -> Option<i32> {
    let began = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if began.elapsed() > LIMIT {
            child.kill().unwrap();
            panic!("the question goes on");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    child.wait().unwrap().code()
}

/// The program at its question.
fn asked(typed_ahead: &str) -> (Terminal, Child) {
    asked_with("--default-signal=HUP", typed_ahead)
}

fn asked_with(hang_up: &str, typed_ahead: &str) -> (Terminal, Child) {
    let mut terminal = Terminal::typed_ahead(typed_ahead);
    let child = terminal.ask(hang_up, &["restore", "latest", "--in-cluster"]);
    terminal.wait_for("[yes/no] ");
    (terminal, child)
}

#[test]
fn what_was_typed_before_the_question_is_no_answer() {
    for typed_ahead in ["yes\n", "yes\nyes\nyes\n", "y"] {
        let (mut terminal, mut child) = asked(typed_ahead);
        // Had it been taken, there would be no question any more; and what is typed now is not glued to it.
        terminal.typed("no\n");
        assert_eq!(ended(&mut child), Some(2), "{typed_ahead:?}");
        terminal.wait_for("nothing was touched");
    }
    let (mut terminal, mut child) = asked("n");
    terminal.typed("yes\n");
    // It goes on, to a cluster that is not there.
    assert_eq!(ended(&mut child), Some(2));
    terminal.wait_for("kubeconfig");
}

#[test]
fn a_signal_at_a_question_ends_it_at_once() {
    let (mut terminal, mut child) = asked("");
    terminal.typed("\u{3}");
    assert_eq!(ended(&mut child), Some(130));
    terminal.wait_for("interrupted");

    let (mut terminal, mut child) = asked("");
    terminal.typed("ye\u{3}");
    assert_eq!(ended(&mut child), Some(130), "in the middle of an answer");

    for signal in ["-TERM", "-HUP"] {
        let (_terminal, mut child) = asked("");
        assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
        assert_eq!(ended(&mut child), Some(130), "{signal}");
    }

    let (mut terminal, mut child) = asked("");
    terminal.goes_away();
    assert_eq!(ended(&mut child), Some(130), "the terminal was closed");
}

#[test]
fn a_program_that_was_told_to_outlive_its_terminal_does() {
    let (mut terminal, mut child) = asked_with("--ignore-signal=HUP", "");
    assert!(Command::new("kill").args(["-HUP", &child.id().to_string()]).status().unwrap().success());
    terminal.typed("no\n");
    assert_eq!(ended(&mut child), Some(2));
    terminal.wait_for("nothing was touched");
}

#[test]
fn the_end_of_the_input_and_any_other_word_are_a_no() {
    for answer in ["\u{4}", "\n", "y\n", "yes please\n", "no\n"] {
        let (mut terminal, mut child) = asked("");
        terminal.typed(answer);
        assert_eq!(ended(&mut child), Some(2), "{answer:?}");
        terminal.wait_for("nothing was touched");
    }
}

#[test]
fn whoever_thinks_about_letting_the_clock_go_keeps_nobody_waiting() {
    let world = support::World::start(1 << 20);
    let hold = |more: &[&str]| {
        let output = world.command(&[&["hold"], more].concat()).output().unwrap();
        assert!(output.status.success(), "{more:?}: {}", support::text(&output.stderr));
        support::text(&output.stdout)
    };
    hold(&["extend", "--for", "2d"]);
    let release = ["hold", "release"];
    let ask = || {
        let mut terminal = Terminal::typed_ahead("");
        let child = terminal.start("--default-signal=HUP", &release, &world.command(&release));
        terminal.wait_for("strike again?");
        (terminal, child)
    };
    let (mut terminal, mut child) = ask();
    // The question is open, and a backup goes on.
    world.ok(&["backup"]);
    hold(&["extend", "--for", "5d"]);
    terminal.typed("yes\n");
    terminal.wait_for("held by more than what was shown");
    assert_eq!(ended(&mut child), Some(2));
    let status = world.json(&["hold", "status"]);
    assert!(status["jobs"].as_array().unwrap().iter().any(|job| job["job"] == "daily_jobs" && job["held_until"].is_string()), "{status}");

    let (mut terminal, mut child) = ask();
    terminal.typed("yes\n");
    assert_eq!(ended(&mut child), Some(0));
    let status = world.json(&["hold", "status"]);
    assert!(status["jobs"].as_array().unwrap().iter().all(|job| job["held_until"].is_null()), "{status}");
}

#[test]
fn a_new_password_is_asked_for_twice_and_never_shown() {
    let home = tempfile::tempdir().unwrap();
    let path = |name: &str| home.path().join(name);
    std::fs::write(path("key"), "a password\n").unwrap();
    std::fs::write(path("c.toml"), format!("[repository]\nurl = {:?}\npassword-file = {:?}\n", path("repository"), path("key"))).unwrap();
    let command = |arguments: &[&str]| {
        let mut command = support::program(arguments);
        command.env("THREESCALE_BACKUP_CONFIG", path("c.toml")).env("THREESCALE_BACKUP_STATE_FOLDER", path("state"));
        command
    };
    assert!(command(&["init"]).output().unwrap().status.success());
    let keys = || std::fs::read_dir(path("repository/keys")).unwrap().count();
    let ask = |answers: &[&str]| {
        let mut terminal = Terminal::typed_ahead("typed before\n");
        let mut child = terminal.start("--default-signal=HUP", &["key", "add"], &command(&["key", "add"]));
        for (answer, question) in answers.iter().zip(["New password of the repository: ", "The same again: "]) {
            terminal.wait_for(question);
            terminal.typed(answer);
        }
        let code = ended(&mut child);
        (terminal, code)
    };
    let (mut terminal, code) = ask(&["hidden one\n", "hidden two\n"]);
    terminal.wait_for("the two passwords differ");
    assert!(code == Some(2) && keys() == 1 && !terminal.seen.contains("hidden"), "{:?}", terminal.seen);
    for nothing in ["\n", "\u{4}"] {
        let (mut terminal, code) = ask(&[nothing]);
        terminal.wait_for("the new password is empty");
        assert!(code == Some(2) && keys() == 1);
    }
    assert_eq!(ask(&["hid\u{3}"]).1, Some(130));
    assert_eq!(keys(), 1);
    let (terminal, code) = ask(&["hidden one\n", "hidden one\n"]);
    assert!(code == Some(0) && keys() == 2 && !terminal.seen.contains("hidden"), "{:?}", terminal.seen);
    std::fs::write(path("key"), "hidden one\n").unwrap();
    assert!(command(&["list"]).output().unwrap().status.success());
}
