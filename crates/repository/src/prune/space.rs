//! What a repository takes up at its storage, to the byte.

/// Bytes of all files, by what they are for. Together they are what `du --apparent-size` says of the files, or the service of the objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Space {
    /// Chunks that sets and other snapshots need, with the packs' own headers.
    pub used_bytes: u64,
    /// Chunks beside those in the same packs that nothing needs: little enough to leave, or written anew by a later prune.
    pub unused_bytes: u64,
    /// Packs that nothing needs yet: they are young, and a running backup may have stored them.
    pub young_bytes: u64,
    /// Packs that are marked for deletion.
    pub marked_bytes: u64,
    /// Temporary files of writers, whether they live or were killed.
    pub temporary_bytes: u64,
    /// Index, snapshots, keys, configuration, locks, and files of others.
    pub structure_bytes: u64,
    /// What a prune frees at once.
    pub free_bytes: u64,
}

impl Space {
    /// All of it.
    #[must_use]
    pub const fn total_bytes(&self) -> u64 {
        self.used_bytes
            + self.unused_bytes
            + self.young_bytes
            + self.marked_bytes
            + self.temporary_bytes
            + self.structure_bytes
            + self.free_bytes
    }
}
