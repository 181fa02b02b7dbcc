//! An archive of `extract`, read by programs that know nothing of ours.

use std::collections::BTreeMap;
use std::process::Command;

use tempfile::TempDir;

use crate::installation::columns;
use crate::support::text;

/// An archive, read by `tar` and `sha256sum`.
pub struct Opened {
    folder: TempDir,
    pub manifest: serde_json::Value,
}

impl Opened {
    pub fn of(archive: &std::path::Path) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let script = "tar -xf \"$1\" && sha256sum --quiet -c SHA256SUMS && tar -tf \"$1\" | tail -n 1";
        let output =
            Command::new("bash").args(["-euo", "pipefail", "-c", script, "-"]).arg(archive).current_dir(folder.path()).output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        assert_eq!(text(&output.stdout), "manifest.json\n", "the manifest comes last");
        let manifest = serde_json::from_slice(&std::fs::read(folder.path().join("manifest.json")).unwrap()).unwrap();
        Self { folder, manifest }
    }

    /// The lines of a folder, in the order in which they were written.
    pub fn lines(&self, of: &str) -> Vec<serde_json::Value> {
        let Ok(folder) = std::fs::read_dir(self.folder.path().join(of)) else { return Vec::new() };
        let mut parts: Vec<_> = folder.map(|entry| entry.unwrap().path()).collect();
        parts.sort();
        let all: String = parts.iter().map(|part| std::fs::read_to_string(part).unwrap()).collect();
        all.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The rows of a table, as [`Database::rows`] says them.
    pub fn rows(&self, table: &str) -> Vec<String> {
        let cell = |value: &serde_json::Value| match value {
            serde_json::Value::Null => "-".to_owned(),
            serde_json::Value::String(text) => hex::encode(text),
            other => hex::encode(base64_of(other["base64"].as_str().unwrap())),
        };
        let row = |line: serde_json::Value| {
            assert_eq!(line.as_object().unwrap().len(), columns(table).len(), "{line}");
            columns(table).iter().map(|(name, _)| cell(&line[*name])).collect::<Vec<_>>().join("\t")
        };
        let mut rows: Vec<_> = self.lines(&format!("rows/{table}")).into_iter().map(row).collect();
        rows.sort();
        rows
    }

    /// The files, by path.
    pub fn files(&self) -> BTreeMap<String, String> {
        let output = Command::new("find").args(["files", "-type", "f"]).current_dir(self.folder.path()).output().unwrap();
        let read = |path: &str| (path.to_owned(), std::fs::read_to_string(self.folder.path().join(path)).unwrap());
        text(&output.stdout).lines().map(read).collect()
    }

    /// Which tables there are.
    pub fn tables(&self) -> Vec<String> {
        let Ok(folder) = std::fs::read_dir(self.folder.path().join("rows")) else { return Vec::new() };
        folder.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }
}

fn base64_of(text: &str) -> Vec<u8> {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.decode(text).unwrap()
}
