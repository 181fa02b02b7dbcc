//! The search index against the database: documents of each real-time index, and the rows of which it is made.
//!
//! Sources: porta's `app/indices/*.rb` (2.13 to master), `Account.searchable` (`app/models/account.rb`, `account/states.rb`), names of indices by thinking-sphinx
//! (`lib/thinking_sphinx/core/index.rb`: reference, then `_core`).

use plan::Result;

use super::finding::Kind;
use super::look::{Difference, Look};

/// An index, and the questions whose answers bound how many documents it should have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SearchIndex {
    /// As searchd calls it.
    pub name: &'static str,
    /// So many at least.
    pub least: &'static str,
    /// So many at most: releases differ.
    pub most: &'static str,
}

const fn all(name: &'static str, question: &'static str) -> SearchIndex {
    SearchIndex { name, least: question, most: question }
}

/// All indices that 3scale has.
pub const SEARCH_INDICES: [SearchIndex; 9] = [
    all(
        "account_core",
        "SELECT COUNT(*) FROM accounts WHERE master IS NOT TRUE AND state <> 'scheduled_for_deletion' AND provider_account_id NOT IN \
         (SELECT id FROM accounts WHERE state = 'scheduled_for_deletion')",
    ),
    all("backend_api_core", "SELECT COUNT(*) FROM backend_apis"),
    SearchIndex {
        name: "cms_page_core",
        // From 2.16 on only what is published.
        least: "SELECT COUNT(*) FROM cms_templates WHERE type = 'CMS::Page' AND searchable IS TRUE AND published IS NOT NULL",
        most: "SELECT COUNT(*) FROM cms_templates WHERE type = 'CMS::Page' AND searchable IS TRUE",
    },
    all("email_configuration_core", "SELECT COUNT(*) FROM email_configurations"),
    all("metric_core", "SELECT COUNT(*) FROM metrics"),
    all("plan_core", "SELECT COUNT(*) FROM plans"),
    all("proxy_rule_core", "SELECT COUNT(*) FROM proxy_rules"),
    all("service_core", "SELECT COUNT(*) FROM services"),
    all("topic_core", "SELECT COUNT(*) FROM topics"),
];

/// Documents of an index, and how many there should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counted {
    /// As searchd calls it.
    pub name: &'static str,
    /// Documents.
    pub has: u64,
    /// So many at least.
    pub least: u64,
    /// So many at most.
    pub most: u64,
}

impl Counted {
    /// Says where it differs.
    ///
    /// # Errors
    /// When there is no room for it.
    pub fn compare(&self, look: &mut Look<'_>) -> Result<()> {
        look.indices = Some(look.indices.unwrap_or_default() + 1);
        let (kind, should) = match self.has {
            has if has < self.least => (Kind::SearchLacks, self.least),
            has if has > self.most => (Kind::SearchHasMore, self.most),
            _ => return Ok(()),
        };
        let detail = format!("{}: {} documents for {should} rows", self.name, self.has);
        look.add(&Difference { kind, service: b"", application: b"", item: self.name.as_bytes(), detail: detail.as_bytes() })
    }
}
