//! Reaches an installation: addresses, writers.
