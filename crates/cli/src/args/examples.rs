//! Examples of each command, for its page of the manual. A test reads each as the program would.

/// A command as it is called, without the program's name, and what it is for.
pub(crate) type Example = (&'static str, &'static str);

/// By the words of the command: `hold release`.
const EXAMPLES: &[(&str, &[Example])] = &[
    (
        "",
        &[
            ("doctor", "Say what is missing before the first backup."),
            ("backup", "Take a set."),
            ("restore latest", "Put the newest whole set back."),
        ],
    ),
    ("init", &[("init", "Make the repository that is configured.")]),
    (
        "backup",
        &[
            ("backup -n 3scale", "Take a set of the installation in a namespace."),
            ("backup --quiet --warnings-are-fine", "From a schedule: only errors are told."),
            ("backup --only backend-redis,system-redis", "Take some data sets only."),
            ("backup --events - --quiet", "Follow the backup as lines of JSON."),
        ],
    ),
    ("list", &[("list", "The sets of this installation."), ("list --all-installations --json", "All of them, as JSON.")]),
    ("show", &[("show latest", "Show the newest whole set.")]),
    (
        "check",
        &[
            ("check", "Look at what there is."),
            ("check --read-data=10%", "Read a tenth of the data too, and the next tenth the next time."),
        ],
    ),
    (
        "copy",
        &[
            ("copy", "Bring every second repository up to date."),
            ("copy latest --to offsite", "Copy one set."),
            ("copy --to /mnt/disk/3scale --to-password-file /root/disk-key --init", "Begin a second repository."),
        ],
    ),
    ("key", &[("key list", "The passwords that open the repository.")]),
    ("key list", &[("key list", "The passwords that open the repository.")]),
    ("key add", &[("key add", "A further password, asked for twice.")]),
    ("key remove", &[("key remove 3f2a1b4c", "A password that opens nothing any more.")]),
    ("key change", &[("key change", "Another password in the place of the one in use.")]),
    ("repair", &[("repair", "Say what could be mended, and what is lost."), ("repair --yes", "Mend it.")]),
    (
        "renew",
        &[
            ("renew", "Lock anew what sets need, where no backup does it."),
            ("renew --dry-run", "Exit code 1 when something is locked for less than half of the days."),
        ],
    ),
    ("plan", &[("plan latest", "What a restore would do."), ("plan latest --only system-database", "What a restore of a part would do.")]),
    (
        "restore",
        &[
            ("restore latest -n 3scale", "Put a set back; you are asked first."),
            ("restore latest --only system-database,backend-redis", "Put a part back."),
            ("restore latest --installation prod", "Put the set of another installation here."),
            ("restore latest --tenant example.com", "Put one tenant back while all serve."),
            ("restore latest --classes usage --service 3", "Put lost counters of one service back while it serves."),
        ],
    ),
    ("resume", &[("resume", "Go on with the run that was interrupted.")]),
    ("undo", &[("undo", "Put back what the last restore replaced.")]),
    ("settle", &[("settle", "Drop what the last restore replaced, when all is well.")]),
    ("abandon", &[("abandon 01m8jpatr6", "Say what ending a run would leave; then end it.")]),
    ("runs", &[("runs", "What runs there were, and what they keep.")]),
    ("hold", &[("hold status", "What 3scale does not do by itself, and until when.")]),
    ("hold status", &[("hold status", "What is held, and until when.")]),
    ("hold extend", &[("hold extend --for 2w", "Hold all of it for two weeks from now on.")]),
    ("hold release", &[("hold release billing_jobs", "Let 3scale bill again.")]),
    (
        "rehearse",
        &[
            ("rehearse latest", "Prove that the newest whole set goes back."),
            ("rehearse latest --only system-redis", "Prove one data set."),
            ("rehearse latest --pods -n 3scale", "The same in pods of the cluster."),
            ("rehearse latest --in-cluster -n 3scale", "The same by a Job, near the repository and the pods."),
        ],
    ),
    (
        "ls",
        &[
            ("ls latest", "What the newest whole set has."),
            ("ls latest system-database", "Its tables, with their rows."),
            ("ls latest system-storage shared", "What is in a folder of its files."),
        ],
    ),
    ("find", &[("find logo.png", "Which sets have a file of this name."), ("find 'account*' latest", "Tables and files of one set.")]),
    (
        "export",
        &[
            ("export latest system-storage --to files", "Write the files of a set into a folder."),
            ("export latest system-database --table accounts --to accounts.sql", "Write the rows of one table as SQL."),
            ("export latest zync-database --table tenants --format csv --to tenants.csv", "Write them for a spreadsheet."),
        ],
    ),
    ("extract", &[("extract latest --tenant example.com --to tenant.tar", "Write what a set holds of one tenant.")]),
    ("inspect", &[("inspect latest backend-redis", "Count the keys of a set by class.")]),
    ("evidence", &[("evidence latest --to evidence.html", "Write the page for the auditor.")]),
    (
        "diff",
        &[
            ("diff 01m8jpat latest", "What changed between two sets."),
            ("diff 01m8jpat latest --deep --limit 100", "Which rows, keys and files that is, by their contents."),
        ],
    ),
    (
        "verify",
        &[
            ("verify", "Whether the live stores agree."),
            ("verify latest", "Whether the stores of a set agree."),
            ("verify --repair --dry-run", "What would be set right in Backend."),
        ],
    ),
    (
        "status",
        &[
            ("status --max-age 26h --max-unproven 8d", "Exit code 1 when the newest set is old, or unproven."),
            ("status --metrics /var/lib/node-exporter/threescale.prom", "Write metrics for Prometheus too."),
            ("status --max-age 26h --push http://pushgateway:9091", "Put them into a Pushgateway."),
        ],
    ),
    (
        "serve",
        &[
            ("serve --max-age 26h --max-unproven 8d", "For Prometheus and a browser on this machine: http://127.0.0.1:9464/."),
            ("serve --listen 0.0.0.0:9464 --every 15m", "For others too, looking four times an hour."),
        ],
    ),
    ("report", &[("report --html report.html --replace", "Write the page about the sets over time.")]),
    (
        "forget",
        &[
            ("forget --keep-daily 14 --keep-weekly 8", "Show what stays and what goes; you are asked first."),
            ("forget --keep-last 30 --prune --yes", "From a schedule."),
        ],
    ),
    ("protect", &[("protect latest --note 'before the upgrade'", "Keep a set whatever the policy says.")]),
    ("unprotect", &[("unprotect 01m8jpat", "Let the policy decide again.")]),
    ("doctor", &[("doctor -n 3scale", "Reach everything, and say what is missing.")]),
    (
        "demo",
        &[
            ("demo --size 1G", "Show all of it with throw-away servers."),
            ("demo --servers-only --size 5M", "Leave filled servers to you, for the tutorial."),
        ],
    ),
    ("config", &[("config show", "What is configured, and where it comes from.")]),
    ("config show", &[("config show", "What is configured, and where it comes from.")]),
    ("config check", &[("config check", "All that is wrong with it.")]),
    ("config example", &[("config example > threescale-backup.toml", "Begin a configuration.")]),
    ("completions", &[("completions bash > /etc/bash_completion.d/threescale-backup", "For every shell of bash on this machine.")]),
    ("man", &[("man restore | man -l -", "Read the page of a command."), ("man --to /usr/local/share/man", "Install all pages.")]),
    ("support-bundle", &[("support-bundle --to bundle.tar", "Collect what helps to find a fault, without secrets.")]),
];

/// The examples of a command, by its words.
pub(crate) fn examples(words: &str) -> &'static [Example] {
    EXAMPLES.iter().find(|(its, _)| *its == words).map_or(&[], |(_, examples)| *examples)
}

#[cfg(test)]
mod tests {
    use super::super::described;
    use super::EXAMPLES;

    fn commands(command: &clap::Command, words: &str, found: &mut Vec<String>) {
        found.push(words.to_owned());
        for inner in command.get_subcommands().filter(|inner| inner.get_name() != "help") {
            commands(inner, format!("{words} {}", inner.get_name()).trim(), found);
        }
    }

    #[test]
    fn every_command_has_examples_that_the_program_takes() {
        let mut there = Vec::new();
        commands(&described(), "", &mut there);
        for words in &there {
            assert!(EXAMPLES.iter().any(|(its, examples)| its == words && !examples.is_empty()), "{words:?} has no example");
        }
        for (words, examples) in EXAMPLES {
            assert!(there.iter().any(|command| command == words), "there is no command {words:?}");
            for (line, _) in *examples {
                let called = line.split([';', '>', '|']).next().unwrap_or_default().replace("'before the upgrade'", "note");
                let parsed = described().try_get_matches_from(std::iter::once("threescale-backup").chain(called.split_whitespace()));
                assert!(line.starts_with(words) && parsed.is_ok(), "{line}: {:?}", parsed.err());
            }
        }
    }

    /// The words of a command as `sh` parts them, up to a comment, or to what comes behind the command.
    fn words(command: &str) -> Vec<String> {
        let (mut words, mut quote) = (vec![String::new()], None);
        for letter in command.chars() {
            match (quote, letter) {
                (None, '\'' | '"') => quote = Some(letter),
                (Some(open), _) if open == letter => quote = None,
                (None, '|' | '>' | ';' | '&' | '#') => break,
                (None, ' ') => words.push(String::new()),
                (_, _) => words.iter_mut().last().into_iter().for_each(|word| word.push(letter)),
            }
        }
        words.retain(|word| !word.is_empty());
        words
    }

    /// The commands of the program in the code of a page: its blocks, fenced or moved in.
    fn called(page: &str) -> Vec<&str> {
        let mut is_fenced = false;
        let mut found = Vec::new();
        for line in page.lines() {
            is_fenced ^= line.trim_start().starts_with("```");
            if is_fenced || line.starts_with("    ") {
                let calls = line.match_indices("threescale-backup ").filter(|(at, _)| {
                    let before = line[..*at].trim_end();
                    before.is_empty() || ["$", "*", "&&", "0"].iter().any(|sign| before.ends_with(sign))
                });
                found.extend(calls.map(|(at, _)| &line[at..]));
            }
        }
        found.retain(|call| !call.contains('…') && !call.contains("[OPTIONS]") && !call.contains("<COMMAND>"));
        found
    }

    #[test]
    fn every_command_on_every_page_is_one_that_the_program_takes() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let pages = std::fs::read_dir(root.join("docs")).into_iter().flatten().flatten().map(|entry| entry.path());
        let mut looked_at = 0;
        for page in pages.filter(|page| page.extension().is_some_and(|extension| extension == "md")).chain([root.join("README.md")]) {
            let text = std::fs::read_to_string(&page).unwrap_or_default();
            for call in called(&text) {
                looked_at += 1;
                let parsed = described().try_get_matches_from(words(call));
                let asks = parsed.as_ref().is_err_and(|error| !error.use_stderr());
                assert!(parsed.is_ok() || asks, "{}: {call}: {:?}", page.display(), parsed.err().map(|error| error.to_string()));
            }
        }
        assert!(looked_at > 150, "{looked_at}");
        assert_eq!(
            words("threescale-backup rehearse latest --then 'a \"b\" c' && x"),
            ["threescale-backup", "rehearse", "latest", "--then", "a \"b\" c"]
        );
        assert_eq!(
            called("    threescale-backup list # all\n`threescale-backup no` threescale-backup no\n```sh\n$ threescale-backup runs\n```\n"),
            ["threescale-backup list # all", "threescale-backup runs"]
        );
    }
}
