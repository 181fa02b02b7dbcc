//! `completions` and `man`: made from the command line's own description, and from the table of the configuration.

mod book;
mod configuration;
mod page;
#[cfg(test)]
mod tests;

use std::path::Path;

use clap_complete::env::Shells;
use plan::error::During;
use plan::{Error, Result};
use serde::Serialize;

use crate::app::App;
use crate::args::{self, described};

/// A page: its name and section, as its file is called, and its text.
struct Page {
    name: String,
    section: &'static str,
    text: Vec<u8>,
}

#[derive(Serialize)]
struct WrittenDocument<'a> {
    folder: &'a Path,
    pages: Vec<String>,
}

/// What the shell loads: it asks this program for what may stand at the cursor.
pub(crate) fn completions(app: &App, shell: clap_complete::Shell) -> Result<()> {
    let what = || format!("write completions for {shell}");
    let shells = Shells::builtins();
    let Some(completer) = shells.completer(&shell.to_string()) else {
        return Err(Error::refused(format!("there are no completions for {shell}")));
    };
    let mut script = Vec::new();
    completer.write_registration("COMPLETE", "threescale_backup", "threescale-backup", "threescale-backup", &mut script).during(what)?;
    app.output.text(&script)
}

/// Prints a page, or writes all of them, or those of the book.
pub(crate) fn man(app: &App, args: &args::Man) -> Result<()> {
    if let Some(folder) = &args.book {
        return write_book(app, folder);
    }
    let pages = pages()?;
    if let Some(folder) = &args.to {
        return write_all(app, &pages, folder);
    }
    let wanted = match args.page.as_slice() {
        [only] if only == configuration::NAME => only.clone(),
        words => std::iter::once("threescale-backup").chain(words.iter().map(String::as_str)).collect::<Vec<_>>().join("-"),
    };
    match pages.iter().find(|page| page.name == wanted) {
        Some(page) => app.output.text(&page.text),
        None => Err(Error::refused(format!("there is no page of {:?}", args.page.join(" "))).hint(format!(
            "Pages are those of the commands (`threescale-backup --help` lists them) and {}; `man --to FOLDER` writes all.",
            configuration::NAME
        ))),
    }
}

/// All pages: the program, each command, the configuration.
fn pages() -> Result<Vec<Page>> {
    let mut pages = page::of_all(&built())?;
    pages.push(Page { name: configuration::NAME.to_owned(), section: "5", text: configuration::page()? });
    Ok(pages)
}

fn built() -> clap::Command {
    let mut command = described().disable_help_subcommand(true);
    command.build();
    command
}

/// The pages of the book that are made from the program.
fn write_book(app: &App, folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder).during(|| format!("make {}", folder.display()))?;
    let mut written = Vec::new();
    for (name, text) in book::pages(&built()) {
        let file = folder.join(name);
        std::fs::write(&file, text).during(|| format!("write {}", file.display()))?;
        written.push(name.to_owned());
    }
    app.output.note(&format!("{} are in {}", written.join(" and "), folder.display()));
    app.output.document(&WrittenDocument { folder, pages: written })
}

/// Into `man1` and `man5` of a folder, where `man` looks for them.
fn write_all(app: &App, pages: &[Page], folder: &Path) -> Result<()> {
    for page in pages {
        let beneath = folder.join(format!("man{}", page.section));
        std::fs::create_dir_all(&beneath).during(|| format!("make {}", beneath.display()))?;
        let file = beneath.join(format!("{}.{}", page.name, page.section));
        std::fs::write(&file, &page.text).during(|| format!("write {}", file.display()))?;
    }
    let shown = folder.display();
    app.output.note(&format!("{} pages are in {shown}: man -M {shown} threescale-backup", pages.len()));
    let pages = pages.iter().map(|page| format!("{}({})", page.name, page.section)).collect();
    app.output.document(&WrittenDocument { folder, pages })
}
