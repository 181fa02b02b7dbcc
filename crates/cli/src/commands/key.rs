//! `key`: the passwords that open the repository. None is ever an argument, and none is printed.

use plan::{Error, Result};
use repository::{KeyFile, RusticRepository};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;

use crate::app::App;
use crate::args::{KeyCommand, NewPassword};
use crate::config::{Config, secret_of};
use crate::output::Table;

#[derive(Serialize)]
struct KeysDocument {
    keys: Vec<KeyDocument>,
}

#[derive(Serialize)]
struct KeyDocument {
    key: String,
    host: String,
    user: String,
    created: Option<String>,
    /// Whether the repository was opened by it now.
    current: bool,
    problem: Option<String>,
}

#[derive(Serialize)]
struct DoneDocument<'a> {
    added: Option<&'a str>,
    removed: Option<&'a str>,
}

pub(crate) fn key(app: &App, command: &KeyCommand) -> Result<()> {
    let config = app.config()?;
    let repository = app.repository(&config)?;
    match command {
        KeyCommand::List => list(app, &repository),
        KeyCommand::Add(given) => {
            let added = repository.add_key(&new_password(app, given)?)?;
            app.output.line(&format!("added key {}: its password opens the repository too", short(&added)))?;
            app.output.document(&DoneDocument { added: Some(&added), removed: None })
        }
        KeyCommand::Remove(of) => {
            let removed = repository.remove_key(&of.key)?;
            app.output.line(&format!("removed key {}", short(&removed)))?;
            told_what_stays(app);
            app.output.document(&DoneDocument { added: None, removed: Some(&removed) })
        }
        KeyCommand::Change(given) => {
            let (removed, added) = repository.change_key(&new_password(app, given)?)?;
            app.output.line(&format!("key {} is in the place of {}", short(&added), short(&removed)))?;
            app.output.note(&format!("Put the new password to where {} takes it from, on every machine.", section(&config)));
            told_what_stays(app);
            app.output.document(&DoneDocument { added: Some(&added), removed: Some(&removed) })
        }
    }
}

/// All passwords open one key, which stays the same.
fn told_what_stays(app: &App) {
    app.output.note(
        "Whoever has read the repository's key before, or has a copy of its folder `keys`, still reads it with the old password: where a password is known to \
         others, `copy` the sets into a new repository.",
    );
}

fn section(config: &Config) -> String {
    config.in_copy().map_or_else(|| "[repository]".to_owned(), |copy| format!("[copies.{copy}]"))
}

fn list(app: &App, repository: &RusticRepository) -> Result<()> {
    let keys = repository.keys()?;
    let mut table = Table::new(&["KEY", "USER", "HOST", "CREATED", ""]);
    for key in &keys {
        let remark = match &key.problem {
            Some(problem) => format!("DAMAGED: {problem}"),
            None if key.is_current => "in use".to_owned(),
            None => String::new(),
        };
        table.row([short(&key.id), key.user.clone(), key.host.clone(), key.created.clone().unwrap_or_default(), remark]);
    }
    app.output.line(&table.render())?;
    let document = |key: KeyFile| KeyDocument {
        key: key.id,
        host: key.host,
        user: key.user,
        created: key.created,
        current: key.is_current,
        problem: key.problem,
    };
    app.output.document(&KeysDocument { keys: keys.into_iter().map(document).collect() })
}

fn short(id: &str) -> String {
    id.chars().take(8).collect()
}

/// From a file or a command; else from the terminal, twice.
fn new_password(app: &App, given: &NewPassword) -> Result<SecretString> {
    let (file, command) = (given.new_password_file.as_deref(), given.new_password_command.as_deref());
    if file.is_some() || command.is_some() {
        return secret_of(file, command).map_err(|error| error.during("the new password cannot be had"));
    }
    let nobody = || {
        Error::refused("there is no terminal to ask for the new password")
            .hint("Say --new-password-file FILE or --new-password-command COMMAND; a password is never an argument.")
    };
    let first = app.output.ask_secret("New password of the repository:")?.ok_or_else(nobody)?;
    if first.expose_secret().is_empty() {
        return Err(Error::refused("the new password is empty").hint("Nothing was changed."));
    }
    let second = app.output.ask_secret("The same again:")?.ok_or_else(nobody)?;
    if first.expose_secret() != second.expose_secret() {
        return Err(Error::refused("the two passwords differ").hint("Nothing was changed."));
    }
    Ok(first)
}
