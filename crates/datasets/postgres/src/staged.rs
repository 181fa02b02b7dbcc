//! Answers questions about the staged copy: one statement, in a transaction in which nothing can be written.

use std::io::Write;

use plan::error::During;
use plan::ports::{Context, Place, Question, Road, Staged};
use plan::{Error, Result};

use crate::address::Address;
use crate::place::Databases;
use crate::session::Session;

/// What statements that read begin with.
const READS: [&str; 4] = ["SELECT", "WITH", "TABLE", "VALUES"];
/// Options of `psql` that change nothing here.
const FLAGS: &str = "AtqX";

/// How it is looked at.
pub(crate) fn staged(place: &Place) -> Result<Option<Staged>> {
    Ok((Databases::read(place)?.road == Road::SideCopy).then_some(Staged::Answers))
}

/// Rows as `COPY` writes them as text: a line for each, separated by tabs, `\N` for NULL, no names.
pub(crate) fn answer(address: &Address, context: &Context, place: &Place, words: &[String], to: &mut dyn Write) -> Result<()> {
    let question = Question::of(words, 'c', FLAGS, &READS)?;
    let databases = Databases::read(place)?;
    if databases.road != Road::SideCopy {
        return Err(Error::refused("there is no staged copy beside the live data"));
    }
    let mut session = Session::open(&address.with_database(&databases.stage))?;
    session.run("SET search_path = public, pg_catalog; BEGIN READ ONLY", "begin to read")?;
    // A comment at the end of the statement ends with its line.
    let copy = format!("COPY (\n{}\n) TO STDOUT", question.statement);
    session.cancellable(&[&context.stop], |session| {
        session.copy_out(&copy, "answer the question", |piece| to.write_all(piece).during(|| "write the answer".to_owned()))
    })
}
