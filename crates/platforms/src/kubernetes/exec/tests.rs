//! Streams that a real API server cannot be made to break on demand.
