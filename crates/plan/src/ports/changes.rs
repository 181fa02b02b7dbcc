//! What is written into a key-value store to set its keys right.

/// A change of one key. Each may be made again, which changes nothing more.
#[derive(Clone, PartialEq, Eq)]
pub enum KeyChange {
    /// A string gets this value, whatever the key was.
    Set {
        /// The key.
        key: Vec<u8>,
        /// What it is to be.
        value: Vec<u8>,
    },
    /// A set is to have a member.
    Add {
        /// The set.
        key: Vec<u8>,
        /// The member.
        member: Vec<u8>,
    },
    /// A field of a hash gets this value.
    SetField {
        /// The hash.
        key: Vec<u8>,
        /// The field.
        field: Vec<u8>,
        /// What it is to be.
        value: Vec<u8>,
    },
    /// A set is not to have a member.
    Take {
        /// The set.
        key: Vec<u8>,
        /// The member.
        member: Vec<u8>,
    },
    /// There is to be no such key.
    Remove {
        /// The key.
        key: Vec<u8>,
    },
}

impl KeyChange {
    /// The key that it changes. It may hold a credential.
    #[must_use]
    pub fn key(&self) -> &[u8] {
        match self {
            Self::Set { key, .. } | Self::Add { key, .. } | Self::SetField { key, .. } | Self::Take { key, .. } | Self::Remove { key } => {
                key
            }
        }
    }
}

/// Gives changes, one after the other, in the order in which they are made.
pub trait KeyChanges {
    /// The next one.
    ///
    /// # Errors
    /// When it cannot be told.
    fn next_change(&mut self) -> crate::Result<Option<KeyChange>>;
}
