//! The page of a command.

use clap::Command;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, italic, roman};
use plan::Result;
use plan::error::During;

use super::Page;
use crate::args::{EXIT_CODES, examples};

/// Files that every command may read or write.
pub(super) const FILES: [(&str, &str); 5] = [
    ("threescale-backup.toml", "The configuration, in the current folder, unless --config names another: threescale-backup.toml(5)."),
    ("/etc/threescale-backup.toml", "The configuration, when there is none in the current folder."),
    ("/var/lib/threescale-backup", "The journals of runs, for root. On Kubernetes they are ConfigMaps in the installation's namespace."),
    ("~/.local/state/threescale-backup", "The journals of runs, for other users ($XDG_STATE_HOME/threescale-backup)."),
    ("~/.kube/config", "The cluster and the user, unless --kubeconfig or $KUBECONFIG names another file."),
];

/// Variables that are no options.
pub(super) const VARIABLES: [(&str, &str); 5] = [
    ("THREESCALE_BACKUP_…", "Every key of the configuration is a variable too: threescale-backup.toml(5) names each."),
    ("KUBECONFIG", "The kubeconfig, unless --kubeconfig names one."),
    ("HTTPS_PROXY, HTTP_PROXY, NO_PROXY", "The proxy on the way to a cluster or a bucket."),
    ("TERM, COLUMNS, NO_COLOR", "How progress is shown: plain lines for TERM=dumb."),
    ("JOURNAL_STREAM", "Set by systemd: lines on standard error then begin with their level, as journald reads it."),
];

/// The pages of a command and of those beneath it.
pub(super) fn of_all(command: &Command) -> Result<Vec<Page>> {
    let mut pages = vec![of(command)?];
    for inner in command.get_subcommands().filter(|inner| !inner.is_hide_set()) {
        pages.extend(of_all(inner)?);
    }
    Ok(pages)
}

fn of(command: &Command) -> Result<Page> {
    let name = command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned();
    let mut text = Vec::new();
    write(command, &name, &mut text).during(|| format!("write the manual page {name}"))?;
    Ok(Page { name, section: "1", text })
}

fn write(command: &Command, name: &str, page: &mut Vec<u8>) -> std::io::Result<()> {
    let source = format!("threescale-backup {}", env!("CARGO_PKG_VERSION"));
    let man = Man::new(command.clone()).title(name.to_uppercase()).source(source).manual("Backup and restore of 3scale");
    man.render_title(page)?;
    man.render_name_section(page)?;
    man.render_synopsis_section(page)?;
    man.render_description_section(page)?;
    man.render_options_section(page)?;
    if command.has_subcommands() {
        man.render_subcommands_section(page)?;
    }
    let mut roff = Roff::new();
    environment(&mut roff, command);
    listed(&mut roff, "FILES", FILES.iter().map(|(file, help)| ((*file).to_owned(), (*help).to_owned())));
    listed(&mut roff, "EXIT STATUS", EXIT_CODES.iter().map(|(code, meaning)| (code.to_string(), (*meaning).to_owned())));
    roff.control("SH", ["EXAMPLES"]);
    let words: Vec<_> = command.get_bin_name().unwrap_or_default().split(' ').skip(1).collect();
    for (line, what) in examples(&words.join(" ")) {
        roff.control("TP", []).text([bold(format!("threescale-backup {line}"))]).text([roman(*what)]);
    }
    see_also(&mut roff, name);
    roff.to_writer(page)
}

fn environment(roff: &mut Roff, command: &Command) {
    let of_option = command.get_arguments().filter_map(|arg| {
        let variable = arg.get_env()?.to_string_lossy().into_owned();
        let option = arg.get_long().map_or_else(|| arg.get_id().to_string(), |long| format!("--{long}"));
        Some((variable, format!("The same as {option}, which goes before it.")))
    });
    let others = VARIABLES.iter().map(|(variable, help)| ((*variable).to_owned(), (*help).to_owned()));
    listed(roff, "ENVIRONMENT", of_option.chain(others));
}

fn listed(roff: &mut Roff, heading: &str, entries: impl Iterator<Item = (String, String)>) {
    roff.control("SH", [heading]);
    for (term, help) in entries {
        roff.control("TP", []).text([bold(term)]).text([roman(help)]);
    }
}

fn see_also(roff: &mut Roff, name: &str) {
    roff.control("SH", ["SEE ALSO"]);
    let pages = [("threescale-backup", "1"), (super::configuration::NAME, "5")];
    for (index, (page, section)) in pages.iter().filter(|(page, _)| *page != name).enumerate() {
        let comma = if index > 0 { ", " } else { "" };
        roff.text([roman(comma), italic(*page), roman(format!("({section})"))]);
    }
}
