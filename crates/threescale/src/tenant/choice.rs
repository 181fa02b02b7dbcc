//! Which tenant is meant: found by its id, a domain, or the name of its organisation.

use plan::{Error, Result};
use serde::Serialize;

use super::{Id, id};

/// The columns of `accounts` that are read for it, in this order.
pub const ACCOUNT_COLUMNS: &[&str] =
    &["id", "master", "provider", "provider_account_id", "org_name", "domain", "self_domain", "service_preffix"];
/// So many are named when none is meant.
const NAMED_MAX: usize = 20;

/// A tenant: the account of a provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Account {
    /// Its number, which is the `tenant_id` of its rows.
    pub id: Id,
    /// Its organisation.
    pub org_name: String,
    /// The domain of its developer portal.
    pub domain: String,
    /// The domain of its admin portal.
    pub self_domain: String,
    /// What Backend's names of its products begin with; mostly nothing.
    #[serde(skip)]
    pub prefix: String,
}

impl Account {
    fn told(&self) -> String {
        format!("{} ({:?}, {})", self.id, self.org_name, self.self_domain)
    }
}

/// What was asked for.
#[derive(Debug, Clone)]
pub struct Wanted(String);

impl Wanted {
    /// As a person says it.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.trim().to_owned())
    }

    fn is(&self, account: &Account) -> bool {
        let same = |text: &str| !text.is_empty() && text.trim().to_lowercase() == self.0.to_lowercase();
        same(&account.domain) || same(&account.self_domain) || same(&account.org_name)
    }
}

/// Reads accounts, and finds the tenant. Holds those that are meant, and a few others to be named.
#[derive(Debug)]
pub struct Tenants {
    wanted: Wanted,
    master: Option<Id>,
    by_id: Option<Account>,
    by_name: Vec<Account>,
    /// The provider of the buyer whose number was given.
    provider_of_buyer: Option<Id>,
    is_master: bool,
    some: Vec<Account>,
    count: u64,
}

impl Tenants {
    /// Nothing is read yet.
    #[must_use]
    pub const fn new(wanted: Wanted) -> Self {
        Self {
            wanted,
            master: None,
            by_id: None,
            by_name: Vec::new(),
            provider_of_buyer: None,
            is_master: false,
            some: Vec::new(),
            count: 0,
        }
    }

    /// An account, by [`ACCOUNT_COLUMNS`].
    pub fn account(&mut self, cells: &[Option<&[u8]>]) {
        let cell = |at: usize| cells.get(at).copied().flatten();
        let text = |at: usize| String::from_utf8_lossy(cell(at).unwrap_or_default()).into_owned();
        // MySQL writes 1, PostgreSQL t.
        let is = |at: usize| matches!(cell(at), Some(b"1" | b"t"));
        let Some(number) = id(cell(0)) else { return };
        let account = Account { id: number, org_name: text(4), domain: text(5), self_domain: text(6), prefix: text(7) };
        let is_by_id = self.wanted.0 == number.to_string();
        if is(1) {
            self.master = Some(number);
            self.is_master = is_by_id || self.wanted.is(&account);
        } else if is(2) {
            self.count += 1;
            if is_by_id {
                self.by_id = Some(account);
            } else if self.wanted.is(&account) {
                self.by_name.push(account);
            } else if self.some.len() < NAMED_MAX {
                self.some.push(account);
            }
        } else if is_by_id {
            self.provider_of_buyer = id(cell(3));
        }
    }

    /// The master's number, where there is a master.
    #[must_use]
    pub const fn master(&self) -> Option<Id> {
        self.master
    }

    /// The one that is meant.
    ///
    /// # Errors
    /// [`plan::Class::Refused`] when it is none, or several.
    pub fn found(mut self) -> Result<Account> {
        let asked = &self.wanted.0;
        if self.by_name.is_empty()
            && let Some(account) = self.by_id
        {
            return Ok(account);
        }
        // The name of one may be the number of another.
        self.by_name.extend(self.by_id);
        let list = |accounts: &[Account]| accounts.iter().take(NAMED_MAX).map(Account::told).collect::<Vec<_>>().join("; ");
        match self.by_name.as_slice() {
            [_, _, ..] => {
                return Err(Error::refused(format!("{} tenants are called {asked:?}", self.by_name.len()))
                    .hint(format!("Name a domain of the one that is meant, or its number: {}.", list(&self.by_name))));
            }
            [_] => return self.by_name.pop().ok_or_else(|| Error::failed("no tenant")),
            [] => {}
        }
        if self.is_master {
            return Err(Error::refused(format!("{asked:?} is the master, which is no tenant"))
                .hint("The master's rows go with the whole database: use restore, or export."));
        }
        if let Some(provider) = self.provider_of_buyer {
            return Err(Error::refused(format!("account {asked} is a developer's, of tenant {provider}"))
                .hint(format!("A whole tenant is extracted: --tenant {provider}")));
        }
        let named = list(&self.some);
        let more = self.count.saturating_sub(self.some.len() as u64);
        let more = if more > 0 { format!("; and {more} more") } else { String::new() };
        Err(Error::refused(format!("the set has no tenant {asked:?}")).hint(if self.count == 0 {
            "It has no tenants at all.".to_owned()
        } else {
            format!("It has {named}{more}. Name the number, a domain, or the name of the organisation.")
        }))
    }
}
