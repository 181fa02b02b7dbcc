//! `[notify.email]`: who gets mail, by which server.

use std::path::PathBuf;

use herald::Mail;
use plan::{Error, Result};
use secrecy::ExposeSecret;

use crate::config::Config;

/// What the target is called.
pub(super) const NAME: &str = "email";
const SECTION: &str = "notify.email";

/// Where mail is sent, when somebody is to get some.
pub(super) fn mail(config: &Config) -> Option<Result<Mail>> {
    config.names_email().then(|| made(config))
}

fn made(config: &Config) -> Result<Mail> {
    let missing = |key: &str| {
        Error::refused(format!("[{SECTION}] has no {key}"))
            .hint(format!("Write `{key} = …` in [{SECTION}]; `threescale-backup config example` shows all of it."))
    };
    let text = |key: &str| config.notify_text(SECTION, key).ok_or_else(|| missing(key));
    let value = |key: &str| config.notify_value(SECTION, key).transpose();
    let (to, from) = (text("to")?, text("from")?);
    let server = value("url")?.ok_or_else(|| missing("url"))?;
    let ca_file = value("ca-file")?.map(|path| PathBuf::from(path.expose_secret()));
    Mail::parse(&server, value("password")?, from, to, ca_file)
}
