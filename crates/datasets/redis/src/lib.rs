//! Knows Redis and Valkey: dump, stage, prove, cut over.
