//! `kubectl` as a process: the suite's own eyes and hands.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::Settings;

/// Calls in one namespace.
#[derive(Debug, Clone)]
pub struct Kubectl {
    program: PathBuf,
    kubeconfig: PathBuf,
    namespace: String,
}

impl Kubectl {
    /// In this namespace.
    #[must_use]
    pub fn new(settings: &Settings, namespace: &str) -> Self {
        Self { program: settings.kubectl.clone(), kubeconfig: settings.kubeconfig.clone(), namespace: namespace.to_owned() }
    }

    /// The namespace.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Runs it with this on standard input.
    #[must_use]
    pub fn run(&self, arguments: &[&str], input: &[u8]) -> Output {
        let mut command = Command::new(&self.program);
        command.arg("--kubeconfig").arg(&self.kubeconfig).args(["-n", &self.namespace]).args(arguments);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let input = input.to_vec();
        // From a thread: the answer may fill its pipe before all of the input is read. A broken pipe is told by the exit status.
        let writer = std::thread::spawn(move || stdin.write_all(&input).is_ok());
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap();
        output
    }

    /// Runs it, expecting success, and gives its standard output.
    ///
    /// # Panics
    /// When it fails.
    #[must_use]
    pub fn ok(&self, arguments: &[&str], input: &[u8]) -> Vec<u8> {
        let output = self.run(arguments, input);
        assert!(output.status.success(), "kubectl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    /// Runs it, expecting success, and gives its standard output as text without the last line feed.
    #[must_use]
    pub fn text(&self, arguments: &[&str]) -> String {
        String::from_utf8_lossy(&self.ok(arguments, b"")).trim_end().to_owned()
    }

    /// Runs it for what it does.
    pub fn act(&self, arguments: &[&str]) {
        drop(self.ok(arguments, b""));
    }

    /// The JSON that it answers.
    #[must_use]
    pub fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_slice(&self.ok(&[arguments, &["-o", "json"]].concat(), b"")).unwrap()
    }

    /// The items of a list.
    #[must_use]
    pub fn items(&self, arguments: &[&str]) -> Vec<Value> {
        self.json(&[&["get"], arguments].concat())["items"].as_array().cloned().unwrap_or_default()
    }
}
