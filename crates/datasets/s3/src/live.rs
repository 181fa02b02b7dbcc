//! The live objects of a bucket: all but what runs of this program left, in the order of a tree.

use std::time::{Duration, Instant};

use plan::ports::{Context, StopFlag};
use plan::{Error, Result};

use crate::client::Client;
use crate::key::{OWN, Placed};
use crate::spool::{Sorted, Spool};

/// How long a look may list.
const LOOK_LIMIT: Duration = Duration::from_secs(3);

/// Keys for which no path stands, the first of them named.
#[derive(Debug, Default)]
struct Odd {
    named: Vec<String>,
    count: u64,
}

impl Odd {
    fn note(&mut self, key: &str, why: &str) {
        self.count += 1;
        self.named.extend((self.named.len() < 5).then(|| format!("{key:?} {why}")));
    }

    fn check(&self) -> Result<()> {
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
            let key = listed.key.clone();
            match Placed::of(listed) {
                Ok(placed) => spool.add(placed)?,
                Err(why) => odd.note(&key, why),
            }
        }
        Ok(true)
    })?;
    odd.check()?;
    spool.sorted()
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
        match Placed::of(listed) {
            Ok(placed) => spool.add(placed)?,
            Err(why) => odd.note(&key, why),
        }
        extent.first.get_or_insert(key);
        extent.whole = begun.elapsed() < LOOK_LIMIT;
        Ok(extent.whole)
    })?;
    extent.refusal = odd.check().and_then(|()| spool.sorted().map(drop)).err();
    Ok(extent)
}
