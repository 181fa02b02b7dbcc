//! Knows MySQL and MariaDB: dump, stage, prove, cut over.
