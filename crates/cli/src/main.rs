//! ASKS.
fn main() {}
