//! Writes a tree of files beneath one folder, and nowhere else.
//!
//! The only place where names of a set become names on disk: `export` and the data set of files both write through it. Two parties are not trusted.
//! Whoever made the set may have put any name, link or order into it ([`plan::tree_order`]); whoever owns the folder may swap folders and links in it
//! while this program, often root, writes. So every folder is opened from the root of the tree without following any link ([`Tree`]), a file is always a
//! new one, and metadata is set on what is open, never on a name. Nothing here decides what is written.

mod attributes;
mod folders;
mod links;
mod metadata;
mod names;
mod resolve;
mod tree;
mod write;
mod writer;

pub use attributes::{allocated_bytes, is_data, meta_of, mtime_ns, read_xattrs, read_xattrs_at, timestamps};
pub use links::Links;
pub use metadata::{SET_ID_BITS, Unset, grant_owner, is_as_wanted, open_by_owner, set_mode, write_meta, write_time};
pub use names::Names;
pub use resolve::forget_openat2;
pub use tree::{Tree, identity, identity_of, is_vanished, open_folder, stat_entry};
pub use write::{NewFile, fill};
pub use writer::{Fault, LARGE_BYTES, Meter, Writer};

#[cfg(test)]
mod tests;
