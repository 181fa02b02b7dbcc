//! Knows PostgreSQL: dump, stage, prove, cut over.
