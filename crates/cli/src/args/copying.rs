//! The options of commands about second repositories and the keys of one.

use std::path::PathBuf;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Subcommand};

/// A password that is not in the configuration: never as itself on the command line, where everybody reads it.
#[derive(Debug, Clone, Args)]
pub(crate) struct ToPassword {
    /// The file that has the password of a folder that no [copies.NAME] is about
    #[arg(long, value_name = "FILE", env = "THREESCALE_BACKUP_TO_PASSWORD_FILE")]
    pub to_password_file: Option<PathBuf>,
    /// A command that prints it, for sh -c
    #[arg(
        long,
        value_name = "COMMAND",
        env = "THREESCALE_BACKUP_TO_PASSWORD_COMMAND",
        hide_env_values = true,
        conflicts_with = "to_password_file"
    )]
    pub to_password_command: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Copy {
    /// The sets, the beginnings of their ids, or `latest` [default: every whole set of this installation]
    #[arg(value_name = "SET")]
    pub sets: Vec<String>,
    /// The second repository: NAME of a section [copies.NAME], or a folder [default: every [copies.NAME]]
    #[arg(long, value_name = "NAME|FOLDER", env = "THREESCALE_BACKUP_COPY_TO", value_parser = NonEmptyStringValueParser::new())]
    pub to: Option<String>,
    #[command(flatten)]
    pub password: ToPassword,
    /// Create the second repository where there is none
    #[arg(long, env = "THREESCALE_BACKUP_COPY_INIT")]
    pub init: bool,
    /// The sets of all installations in the repository
    #[arg(long, conflicts_with = "sets", env = "THREESCALE_BACKUP_ALL_INSTALLATIONS")]
    pub all_installations: bool,
    /// Sets that lack data sets of the installation, too
    #[arg(long, env = "THREESCALE_BACKUP_PARTIAL")]
    pub partial: bool,
    /// Show what would be copied, and stop
    #[arg(long, env = "THREESCALE_BACKUP_DRY_RUN")]
    pub dry_run: bool,
}

/// What to do about the passwords that open the repository.
#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// List the keys: each is one password that opens the repository
    List,
    /// Add a password
    Add(NewPassword),
    /// Remove a password, by the id of its key; never the one in use
    Remove(OfKey),
    /// Put a new password in the place of the one in use
    Change(NewPassword),
}

/// Without either it is asked for at the terminal, twice.
#[derive(Debug, Args)]
pub(crate) struct NewPassword {
    /// The file that has the new password
    #[arg(long, value_name = "FILE", env = "THREESCALE_BACKUP_NEW_PASSWORD_FILE")]
    pub new_password_file: Option<PathBuf>,
    /// A command that prints it, for sh -c
    #[arg(
        long,
        value_name = "COMMAND",
        env = "THREESCALE_BACKUP_NEW_PASSWORD_COMMAND",
        hide_env_values = true,
        conflicts_with = "new_password_file"
    )]
    pub new_password_command: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct OfKey {
    /// The key, or the beginning of its id: `key list` shows it
    pub key: String,
}
