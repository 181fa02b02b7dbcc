//! The live objects of a bucket: all but what runs of this program left, in the order of a tree.

use std::time::{Duration, Instant};

use plan::ports::{Context, FileReader, StopFlag};
use plan::{Error, Result};

use crate::client::Client;
use crate::client::list::Listed;
use crate::key::{OWN, Placed, repository_of};
use crate::spool::{Sorted, Spool};

/// How long a look may list.
const LOOK_LIMIT: Duration = Duration::from_secs(3);

/// Keys for which no path stands, the first of them named.
#[derive(Debug, Default)]
struct Odd {
    named: Vec<String>,
    count: u64,
    /// Where a repository is.
    repository: Option<String>,
}

impl Odd {
    fn note(&mut self, key: &str, why: &str) {
        self.count += 1;
        self.named.extend((self.named.len() < 5).then(|| format!("{key:?} {why}")));
    }

    /// The object at its path; `None` when it is noted.
    fn place(&mut self, listed: Listed) -> Option<Placed> {
        if let Some(at) = repository_of(&listed.key) {
            self.repository.get_or_insert_with(|| at.to_owned());
            return None;
        }
        let key = listed.key.clone();
        Placed::of(listed).map_err(|why| self.note(&key, why)).ok()
    }

    fn check(&self, client: &Client) -> Result<()> {
        if let Some(at) = &self.repository {
            let text = format!("there is a repository of backups among System's files: s3://{}/{at}", client.bucket.name);
            return Err(Error::refused(text)
                .hint("A backup of the bucket would take it along, and --remove-extra would remove it. Nothing was touched.")
                .hint("Keep the repository in a bucket of its own: copy what is below that prefix there, name it in [repository] url, run `check --read-data`, then remove it here."));
        }
        if self.count == 0 {
            return Ok(());
        }
        let error = Error::refused(format!("{} keys of the bucket cannot be kept", self.count));
        let named = self.named.iter().fold(error, |error, text| error.hint(format!("The key {text}.")));
        Err(named.hint("porta makes no such keys. Rename or remove these objects; nothing was touched."))
    }
}

/// All of them.
///
/// # Errors
/// When the listing cannot be had whole; [`plan::Class::Refused`] when there are keys that cannot be kept, each named.
pub(crate) fn all(client: &Client, context: &Context) -> Result<Sorted> {
    let (mut spool, mut odd) = (Spool::default(), Odd::default());
    client.list(&context.stop, "", |listed| {
        if !listed.key.starts_with(OWN) {
            odd.place(listed).map_or(Ok(()), |placed| spool.add(placed))?;
        }
        Ok(true)
    })?;
    odd.check(client)?;
    spool.sorted()
}

/// Tells a reader each object, by its key, in the service's order; what stands for a folder is none.
///
/// # Errors
/// When the listing cannot be had whole; what the reader says.
pub(crate) fn each(client: &Client, context: &Context, reader: &mut FileReader<'_>) -> Result<()> {
    client.list(&context.stop, "", |listed| {
        if !listed.key.starts_with(OWN) && !listed.key.ends_with('/') {
            reader(listed.key.as_bytes(), listed.size)?;
        }
        Ok(true)
    })
}

/// What a bounded listing found.
#[derive(Debug, Default)]
pub(crate) struct Extent {
    pub(crate) objects: u64,
    pub(crate) bytes: u64,
    /// Whether it came to its end in time.
    pub(crate) whole: bool,
    /// The first object.
    pub(crate) first: Option<String>,
    /// Why some of them cannot be kept.
    pub(crate) refusal: Option<Error>,
}

/// Lists for some seconds.
pub(crate) fn measure(client: &Client, stop: &StopFlag) -> Result<Extent> {
    let (begun, mut extent) = (Instant::now(), Extent { whole: true, ..Extent::default() });
    let (mut spool, mut odd) = (Spool::default(), Odd::default());
    client.list(stop, "", |listed| {
        if listed.key.starts_with(OWN) {
            return Ok(true);
        }
        extent.objects += 1;
        extent.bytes += listed.size;
        let key = listed.key.clone();
        odd.place(listed).map_or(Ok(()), |placed| spool.add(placed))?;
        extent.first.get_or_insert(key);
        extent.whole = begun.elapsed() < LOOK_LIMIT;
        Ok(extent.whole)
    })?;
    extent.refusal = odd.check(client).and_then(|()| spool.sorted().map(drop)).err();
    Ok(extent)
}
