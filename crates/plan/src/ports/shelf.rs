//! Where the journals of an installation's runs stand: a folder, or ConfigMaps in the cluster.

use crate::{InstallationId, Result};

/// A shelf of journals. Each is bytes that only grow at their end. Names are run ids.
pub trait Shelf: Send + Sync {
    /// Where it is, for people.
    fn place(&self) -> String;

    /// Takes the lock of an installation: one change at a time. Held until it is dropped, or its process dies.
    ///
    /// # Errors
    /// [`crate::Class::Locked`] when another run holds it.
    fn lock(&self, installation: &InstallationId) -> Result<Box<dyn Send>>;

    /// The names of all journals, sorted.
    ///
    /// # Errors
    /// When they cannot be listed.
    fn names(&self) -> Result<Vec<String>>;

    /// The whole journal; `None` when there is none of that name.
    ///
    /// # Errors
    /// When it cannot be read.
    fn read(&self, name: &str) -> Result<Option<Vec<u8>>>;

    /// Opens a journal to append after its first `whole_bytes` bytes; what is behind them is cut off. With 0 it is made, and must not be there.
    ///
    /// # Errors
    /// When it cannot be opened.
    fn open(&self, name: &str, whole_bytes: u64) -> Result<Box<dyn Append>>;

    /// Takes a journal out of the list without deleting it, and says where it is then. For one that is damaged.
    ///
    /// # Errors
    /// When it cannot be moved.
    fn set_aside(&self, name: &str) -> Result<String>;

    /// Removes a journal.
    ///
    /// # Errors
    /// When it cannot be removed.
    fn remove(&self, name: &str) -> Result<()>;
}

/// The end of a journal.
pub trait Append: Send {
    /// Appends bytes. Returns when they are on stable storage.
    ///
    /// # Errors
    /// When it is not certain that they are, or when somebody else wrote in between.
    fn append(&mut self, bytes: &[u8]) -> Result<()>;
}
