//! The units of `deploy/systemd`: what they call is what this program takes.

use std::path::Path;

use crate::support::{program, text};

#[test]
fn every_unit_calls_what_there_is_and_has_its_timer() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/systemd");
    let names: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    let services: Vec<_> = names.iter().filter(|path| path.extension().is_some_and(|extension| extension == "service")).collect();
    assert!(services.len() == 5 && names.len() == 10, "{names:?}");
    for service in services {
        let unit = std::fs::read_to_string(service).unwrap();
        let line = unit.lines().find_map(|line| line.strip_prefix("ExecStart=/usr/bin/threescale-backup ")).unwrap();
        let arguments: Vec<_> = line.split(' ').collect();
        // What is wrong with the arguments is said before anything is looked for.
        let output = program(&arguments).args(["--config", "/nowhere/at/all"]).output().unwrap();
        let said = text(&output.stderr);
        assert!(said.contains("/nowhere/at/all") && !said.contains("Usage:"), "{line}: {said}");
        assert!(unit.contains("\nType=oneshot\n"), "never two at a time");
        let timer = std::fs::read_to_string(service.with_extension("timer")).unwrap();
        assert!(timer.contains("\nOnCalendar=") && timer.contains("\nPersistent=yes\n") && timer.contains("\nWantedBy=timers.target\n"));
    }
}
