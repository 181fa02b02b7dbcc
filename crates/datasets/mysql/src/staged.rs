//! Answers questions about the staged copy: one statement, in a transaction in which nothing can be written.

use std::io::Write;
use std::time::Duration;

use crossbeam_channel::{RecvTimeoutError, bounded};
use mysql::{Row, Value};
use plan::error::During;
use plan::ports::{Context, Place, Question, Road, Staged};
use plan::{Error, Result};

use crate::place::Schemas;
use crate::session::Talk;
use crate::store::MysqlStore;

/// What statements that read begin with.
const READS: [&str; 8] = ["SELECT", "SHOW", "WITH", "TABLE", "VALUES", "EXPLAIN", "DESCRIBE", "DESC"];
/// Options of the client `mysql` that mean something here, or change nothing.
const FLAGS: &str = "NBs";
/// How often it is looked whether the answer is still wanted.
const GLANCE: Duration = Duration::from_millis(20);

/// How it is looked at.
pub(crate) fn staged(store: &MysqlStore, place: &Place) -> Result<Option<Staged>> {
    let schemas = Schemas::from_place(place, &store.address.database)?;
    Ok((schemas.road == Road::SideCopy).then_some(Staged::Answers))
}

/// Rows as the client `mysql` writes them with `--batch`: a line of names, then a line for each row, separated by tabs.
pub(crate) fn answer(store: &MysqlStore, context: &Context, place: &Place, words: &[String], to: &mut dyn Write) -> Result<()> {
    let question = Question::of(words, 'e', FLAGS, &READS)?;
    let schemas = Schemas::from_place(place, &store.address.database)?;
    if schemas.road != Road::SideCopy {
        return Err(Error::refused("there is no staged copy beside the live data"));
    }
    // SQL may write files where the server runs (MySQL manual, "SELECT ... INTO"), a transaction in which nothing can be written or not.
    let writes_files = |word: &str| ["OUTFILE", "DUMPFILE"].contains(&word.to_uppercase().as_str());
    if question.statement.split(|sign: char| !sign.is_alphanumeric()).any(writes_files) {
        return Err(Error::refused("a question has no OUTFILE and no DUMPFILE in it: the server would write a file"));
    }
    let mut session = store.session(Talk::Text, Some(&schemas.stage))?;
    // Of several statements the second could end the transaction: the server says what is one, without running it.
    session.prepare("take the question as one statement", &question.statement)?;
    session.run("begin to read", "START TRANSACTION READ ONLY")?;
    let (id, mut shows_names) = (session.id(), !question.has('N'));
    std::thread::scope(|scope| {
        let (done, over) = bounded::<()>(0);
        scope.spawn(move || {
            while over.recv_timeout(GLANCE) == Err(RecvTimeoutError::Timeout) {
                if context.stop.is_raised() {
                    // What nobody waits for any more is not gone on with.
                    drop(store.session(Talk::Text, None).and_then(|mut other| other.run("end a question", &format!("KILL QUERY {id}"))));
                    return;
                }
            }
        });
        let answered = session.stream("answer the question", &question.statement, |row, _| {
            context.stop.check()?;
            let mut line = Vec::new();
            if std::mem::take(&mut shows_names) {
                let names: Vec<_> = row.columns_ref().iter().map(|column| column.name_str().into_owned()).collect();
                line.extend_from_slice(names.join("\t").as_bytes());
                line.push(b'\n');
            }
            written(&row, &mut line);
            to.write_all(&line).during(|| "write the answer".to_owned())
        });
        drop(done);
        answered
    })
}

fn written(row: &Row, line: &mut Vec<u8>) {
    for at in 0..row.len() {
        if at > 0 {
            line.push(b'\t');
        }
        match row.as_ref(at) {
            Some(Value::Bytes(bytes)) => line.extend(bytes.iter().flat_map(|byte| match byte {
                0 => &b"\\0"[..],
                b'\t' => b"\\t",
                b'\n' => b"\\n",
                b'\\' => b"\\\\",
                other => std::slice::from_ref(other),
            })),
            _ => line.extend_from_slice(b"NULL"),
        }
    }
    line.push(b'\n');
}
