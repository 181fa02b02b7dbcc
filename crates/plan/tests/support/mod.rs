//! What the tests of plans and of the journal both need.

use plan::ports::{Findings, Road};

/// A store in which nothing stands in the way.
pub fn findings() -> Findings {
    Findings {
        store: "Store 1".into(),
        address: "place".into(),
        identity: None,
        half_loaded_by: None,
        is_gone: false,
        size_bytes: 1,
        count: None,
        backup_problems: Vec::new(),
        restore_problems: Vec::new(),
        road: Road::SideCopy,
        facts: Vec::new(),
    }
}
