//! Sorts a listing into the order of trees, in bounded memory: what does not fit is set aside in unnamed temporary files (names, sizes and times; no content).
//!
//! S3 lists by the bytes of the whole key, where `a-b` is before `a/c`; a tree has `a/c` first.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{BufRead as _, BufReader, BufWriter, Seek as _, Write as _};

use plan::error::During as _;
use plan::{Error, Result};

use crate::key::{Placed, TreeKey, clash};

/// Objects in memory: some 20 MB of names.
const IN_MEMORY: usize = 50_000;

/// Takes objects in any order.
pub(crate) struct Spool {
    held: Vec<Placed>,
    files: Vec<File>,
    in_memory: usize,
}

impl Default for Spool {
    fn default() -> Self {
        Self { held: Vec::new(), files: Vec::new(), in_memory: IN_MEMORY }
    }
}

impl Spool {
    pub(crate) fn add(&mut self, placed: Placed) -> Result<()> {
        self.held.push(placed);
        if self.held.len() >= self.in_memory { self.set_aside() } else { Ok(()) }
    }

    fn set_aside(&mut self) -> Result<()> {
        let held = sorted(std::mem::take(&mut self.held));
        self.files.push(written(held.into_iter().map(Ok))?);
        Ok(())
    }

    /// All of them in the order of a tree.
    ///
    /// # Errors
    /// [`plan::Class::Refused`] when some of them cannot be in one tree: all is looked at before the first is given.
    pub(crate) fn sorted(self) -> Result<Sorted> {
        let mut clashes = Clashes::default();
        if self.files.is_empty() {
            let held = sorted(self.held);
            held.windows(2).for_each(|pair| {
                if let [one, next] = pair {
                    clashes.look_at(one, next)
                }
            });
            clashes.check()?;
            return Sorted::of(vec![Run::Held(held.into_iter())]);
        }
        let files = self.files.into_iter().map(|file| Run::File(BufReader::new(file)));
        let all = Sorted::of(files.chain([Run::Held(sorted(self.held).into_iter())]).collect())?;
        let mut last: Option<Placed> = None;
        let file = written(all.inspect(|placed| {
            if let Ok(placed) = placed {
                last.iter().for_each(|last| clashes.look_at(last, placed));
                last = Some(placed.clone());
            }
        }))?;
        clashes.check()?;
        Sorted::of(vec![Run::File(BufReader::new(file))])
    }
}

/// Objects that cannot be in one tree, the first of them named.
#[derive(Default)]
struct Clashes {
    named: Vec<String>,
    count: u64,
}

impl Clashes {
    fn look_at(&mut self, one: &Placed, next: &Placed) {
        if let Some(text) = clash(one, next) {
            self.count += 1;
            self.named.extend((self.named.len() < 5).then_some(text));
        }
    }

    fn check(&self) -> Result<()> {
        if self.count == 0 {
            return Ok(());
        }
        Err(self
            .named
            .iter()
            .fold(Error::refused(format!("{} objects of the bucket cannot be in one tree", self.count)), |error, text| {
                error.hint(format!("{text}."))
            })
            .hint("porta makes no such keys. Rename or remove one of each two; nothing was touched."))
    }
}

/// Writes objects into an unnamed temporary file, and gives it from its beginning.
fn written(all: impl Iterator<Item = Result<Placed>>) -> Result<File> {
    let during = || "set a listing aside in a temporary file (TMPDIR says in which folder)".to_owned();
    let mut file = BufWriter::new(tempfile::tempfile().during(during)?);
    for placed in all {
        serde_json::to_writer(&mut file, &placed?).during(during)?;
        file.write_all(b"\n").during(during)?;
    }
    let mut file = file.into_inner().map_err(std::io::IntoInnerError::into_error).during(during)?;
    file.rewind().during(during)?;
    Ok(file)
}

fn sorted(mut held: Vec<Placed>) -> Vec<Placed> {
    held.sort_by(|one, other| (one.order(), &one.key).cmp(&(other.order(), &other.key)));
    held
}

enum Run {
    Held(std::vec::IntoIter<Placed>),
    File(BufReader<File>),
}

impl Run {
    fn next(&mut self) -> Result<Option<Placed>> {
        match self {
            Self::Held(held) => Ok(held.next()),
            Self::File(file) => {
                let mut line = String::new();
                file.read_line(&mut line).during(|| "read a listing back from a temporary file".to_owned())?;
                if line.is_empty() {
                    return Ok(None);
                }
                serde_json::from_str(&line).map(Some).during(|| "read a listing back from a temporary file".to_owned())
            }
        }
    }
}

/// The first of a run.
#[derive(PartialEq, Eq)]
struct First {
    placed: Placed,
    run: usize,
}

impl Ord for First {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        let of = |first: &'_ Self| (first.placed.key.clone(), first.run);
        TreeKey::of(&self.placed.path).cmp(&TreeKey::of(&other.placed.path)).then_with(|| of(self).cmp(&of(other)))
    }
}

impl PartialOrd for First {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// Objects in the order of a tree.
pub(crate) struct Sorted {
    runs: Vec<Run>,
    heads: BinaryHeap<Reverse<First>>,
}

impl Sorted {
    fn of(runs: Vec<Run>) -> Result<Self> {
        let mut sorted = Self { runs, heads: BinaryHeap::new() };
        (0..sorted.runs.len()).try_for_each(|run| sorted.pull(run))?;
        Ok(sorted)
    }

    fn pull(&mut self, run: usize) -> Result<()> {
        let next = self.runs.get_mut(run).map(Run::next).transpose()?.flatten();
        if let Some(placed) = next {
            self.heads.push(Reverse(First { placed, run }));
        }
        Ok(())
    }
}

impl Iterator for Sorted {
    type Item = Result<Placed, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let Reverse(First { placed, run }) = self.heads.pop()?;
        Some(self.pull(run).map(|()| placed))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::client::list::Listed;

    #[test]
    fn what_does_not_fit_into_memory_is_sorted_all_the_same() {
        let all: Vec<_> = (0..1000_u32).map(|n| format!("{}/{}-{}", n % 7, n % 13, n)).collect();
        let sorted_with = |in_memory: usize| {
            let mut spool = Spool { in_memory, ..Spool::default() };
            for key in &all {
                let listed = Listed { key: key.clone(), size: 1, e_tag: "x\n".to_owned(), modified_ns: -1 };
                spool.add(Placed::of(listed).unwrap()).unwrap();
            }
            spool.sorted().unwrap().map(|placed| placed.unwrap().key).collect::<Vec<_>>()
        };
        let whole = sorted_with(10_000);
        assert_eq!(whole.len(), 1000);
        assert!(whole.windows(2).all(|pair| TreeKey::of(&pair[0]) < TreeKey::of(&pair[1])));
        assert_eq!(sorted_with(10), whole);
    }

    #[test]
    fn what_cannot_be_in_one_tree_is_found_before_the_first_is_given() {
        for in_memory in [2, 100] {
            let mut spool = Spool { in_memory, ..Spool::default() };
            for key in ["b/1", "a", "c", "/c", "b", "d/e"] {
                let listed = Listed { key: key.to_owned(), size: 1, e_tag: String::new(), modified_ns: 0 };
                spool.add(Placed::of(listed).unwrap()).unwrap();
            }
            let error = spool.sorted().map(drop).unwrap_err();
            assert_eq!(error.class(), plan::Class::Refused);
            assert!(error.hints().iter().any(|hint| hint.contains("\"b/1\" is inside of \"b\"")), "{error:?}");
            assert!(error.hints().iter().any(|hint| hint.contains("are one path")), "{error:?}");
        }
    }
}
