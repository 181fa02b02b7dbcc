//! Knows trees of files: dump, stage, prove, cut over.
