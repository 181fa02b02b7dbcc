//! Keeps sets: the only crate that names the repository engine.
