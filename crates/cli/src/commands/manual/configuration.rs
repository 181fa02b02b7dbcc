//! The page of the configuration, from the table that parses it.

use clap_mangen::roff::{Inline, Roff, bold, italic, roman};
use plan::Result;
use plan::error::During;

use crate::config::{DEFAULT_PATHS, KeyDocument, example_document};

/// The page's name.
pub(super) const NAME: &str = "threescale-backup.toml";

/// What is said before the sections, in paragraphs.
pub(super) const DESCRIPTION: [&str; 5] = [
    "A file of TOML: sections with keys. It says where the repository is; on Kubernetes all else is found. With addresses, or on the platform direct, each data set has a section. \
     threescale-backup config example prints every section and key, config check says all that is wrong, and config show what holds and where it comes from.",
    "It is read from --config, else from threescale-backup.toml in the current folder, else from /etc/threescale-backup.toml. A file that is found there, and not named, must be this user's or root's, \
     and nobody else may be able to change it.",
    "Every key is a variable too. Options go before variables, variables before the file. An empty variable says nothing. Sections, keys and variables that are not known are refused.",
    "A secret may be given as itself (password), as a file that holds it (password-file) or as a command that prints it (password-command).",
    "A relative path begins where the file is that names it; one in a variable, in the current folder. ~/ is the home folder.",
];

const EXAMPLE: &str = "\
[repository]
url = \"/backups/3scale\"
password-file = \"/etc/threescale/key\"

[notify]
command = \"logger -t threescale\"";

pub(super) fn page() -> Result<Vec<u8>> {
    let mut roff = Roff::new();
    let source = format!("threescale-backup {}", env!("CARGO_PKG_VERSION"));
    roff.control("TH", [NAME.to_uppercase().as_str(), "5", "", &source, "Backup and restore of 3scale"]);
    roff.control("SH", ["NAME"]).text([roman(format!("{NAME} - the configuration of threescale-backup"))]);
    roff.control("SH", ["DESCRIPTION"]);
    for paragraph in DESCRIPTION {
        roff.text([roman(paragraph)]).control("PP", []);
    }
    roff.control("SH", ["SECTIONS AND KEYS"]);
    for section in example_document().sections {
        roff.control("SS", [format!("[{}]", section.section).as_str()]).text([roman(section.help)]);
        for key in &section.keys {
            roff.control("TP", []).text(term(key));
            roff.text([roman(key.help)]).control("br", []);
            roff.text([roman(format!("Example: {} = {}", key.key, key.example))]).control("br", []);
            roff.text([roman(format!("Variables: {}", key.variables.join(", ")))]);
        }
    }
    roff.control("SH", ["FILES"]);
    for path in DEFAULT_PATHS {
        roff.control("TP", []).text([bold(path)]).text([roman("The configuration.")]);
    }
    roff.control("SH", ["EXAMPLES"]).control("nf", []);
    for line in EXAMPLE.lines() {
        roff.text([roman(line)]);
    }
    roff.control("fi", []);
    roff.control("SH", ["SEE ALSO"]).text([italic("threescale-backup"), roman("(1)")]);
    let mut page = Vec::new();
    roff.to_writer(&mut page).during(|| format!("write the manual page {NAME}"))?;
    Ok(page)
}

/// `url = address, needed`, `workers = number [4]`.
fn term(key: &KeyDocument) -> Vec<Inline> {
    let needed = if key.required { ", needed" } else { "" };
    let forms = if key.secret { format!(", or {0}-file, {0}-command", key.key) } else { String::new() };
    let default = key.default.map(|default| format!(" [default: {default}]")).unwrap_or_default();
    vec![bold(key.key), roman(format!(" ({}{needed}{forms}){default}", key.kind))]
}
