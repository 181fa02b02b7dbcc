//! How much there is of everything, and which id belongs to which: what keeps the stores in agreement.

use super::random::Random;

/// The smallest size that still has some of everything.
const LEAST_BYTES: u64 = 1 << 20;

/// The counts for a size. Ids are dense: accounts are the master (1), the providers (from 2), the buyers; services are
/// the master's (1) and then the providers' in turn.
#[derive(Debug, Clone)]
pub struct Shape {
    /// Another seed, other data.
    pub seed: u64,
    /// Bytes of the rows of the system database, about; the other stores grow with it.
    pub size_bytes: u64,
    /// Tenants.
    pub providers: u64,
    /// Services of the providers; the master's comes on top.
    pub services: u64,
    /// Accounts of buyers.
    pub buyers: u64,
    /// Applications, with the providers' own (`cinstances` of the master's service).
    pub applications: u64,
    /// Invoices.
    pub invoices: u64,
    /// Files that rows of `cms_files` name.
    pub cms_files: u64,
}

impl Shape {
    /// The counts for about so many bytes of rows in the system database.
    #[must_use]
    pub fn new(seed: u64, size_bytes: u64) -> Self {
        let size_bytes = size_bytes.max(LEAST_BYTES);
        let providers = (size_bytes / (20 << 20)).clamp(2, 40);
        let applications = (size_bytes / 8000).max(60) + providers + 1;
        Self {
            seed,
            size_bytes,
            providers,
            services: providers * 3,
            // A whole number for each provider, so that everyone has one.
            buyers: (applications / 2 / providers).max(3) * providers,
            applications,
            invoices: (size_bytes / 12_000).max(12),
            cms_files: (size_bytes / 600_000).max(8),
        }
    }

    /// Rows of a table that has so many hundredths of the size, with rows of so many bytes.
    pub(crate) fn share(&self, hundredths: u64, row_bytes: u64) -> u64 {
        (self.size_bytes / 100 * hundredths / row_bytes).max(5)
    }

    pub(crate) fn random(&self, what: &str, number: u64) -> Random {
        Random::of(self.seed, what, number)
    }

    /// Master, providers and buyers.
    pub(crate) const fn accounts(&self) -> u64 {
        1 + self.providers + self.buyers
    }

    /// The master's service too.
    pub(crate) const fn all_services(&self) -> u64 {
        1 + self.services
    }

    /// The provider of the n-th buyer (from 0).
    pub(crate) const fn provider_of_buyer(&self, index: u64) -> u64 {
        2 + index % self.providers
    }

    /// The account that owns a service.
    pub(crate) const fn provider_of_service(&self, service: u64) -> u64 {
        if service == 1 { 1 } else { 2 + (service - 2) % self.providers }
    }

    /// Three plans for each service.
    pub(crate) const fn plan(service: u64, nth: u64) -> u64 {
        (service - 1) * 3 + 1 + nth % 3
    }

    /// Four metrics for each service; the first is `hits`, the parent of the others.
    pub(crate) const fn metric(service: u64, nth: u64) -> u64 {
        (service - 1) * 4 + 1 + nth % 4
    }

    /// What an application is, from its id (from 1).
    pub(crate) fn application(&self, id: u64) -> Application {
        let own = self.providers + 1;
        let mut random = self.random("application", id);
        if id <= own {
            let user_key = Some(random.hex(32));
            return Application { id, service: 1, plan: Self::plan(1, 0), account: id, user_key, state: "live", has_traffic: true };
        }
        let index = id - own - 1;
        let service = 2 + index % self.services;
        let of_provider = random.below(self.buyers / self.providers) * self.providers + (self.provider_of_service(service) - 2);
        let state = if random.below(40) == 0 { "suspended" } else { "live" };
        // Every third service authenticates with key pairs (backend_version 2).
        let user_key = (backend_version(service) == "1").then(|| random.hex(32));
        Application {
            id,
            service,
            plan: Self::plan(service, random.next()),
            account: 2 + self.providers + of_provider,
            user_key,
            state,
            has_traffic: id.is_multiple_of(8),
        }
    }

    /// The key with which Backend knows a provider: the user key of its own application.
    pub(crate) fn provider_key(&self, provider: u64) -> String {
        self.application(provider).user_key.unwrap_or_default()
    }

    /// The token of a service.
    pub(crate) fn service_token(&self, service: u64) -> String {
        self.random("service_tokens", service).hex(64)
    }
}

/// How applications of a service authenticate.
pub(crate) const fn backend_version(service: u64) -> &'static str {
    if service.is_multiple_of(3) { "2" } else { "1" }
}

/// One row of `cinstances`, and its keys in Backend.
pub(crate) struct Application {
    pub(crate) id: u64,
    pub(crate) service: u64,
    pub(crate) plan: u64,
    pub(crate) account: u64,
    pub(crate) user_key: Option<String>,
    pub(crate) state: &'static str,
    pub(crate) has_traffic: bool,
}

impl Application {
    pub(crate) fn application_id(&self) -> String {
        // One with a space: Backend writes it as + in its keys.
        if self.id % 97 == 4 { format!("app {:x}", self.id) } else { format!("app-{:x}", self.id) }
    }

    /// Of `application_keys`; with key pairs every application has one, otherwise some.
    pub(crate) fn key(&self, shape: &Shape) -> Option<String> {
        let wanted = self.user_key.is_none() || self.id.is_multiple_of(10);
        wanted.then(|| {
            if self.id.is_multiple_of(50) {
                format!("with:colon/slash+plus-{}", self.id)
            } else {
                shape.random("application_keys", self.id).hex(32)
            }
        })
    }

    /// Of `referrer_filters`.
    pub(crate) fn referrer(&self) -> Option<String> {
        self.id.is_multiple_of(12).then(|| format!("*.kunde-{}.example.com", self.id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn applications_belong_to_buyers_of_the_provider_of_their_service() {
        for size in [0, 20 << 20, 1 << 30] {
            let shape = Shape::new(7, size);
            for id in 1..=shape.applications.min(5000) {
                let application = shape.application(id);
                assert!(application.service <= shape.all_services());
                assert!(application.account <= shape.accounts());
                if application.service > 1 {
                    let buyer = application.account - 2 - shape.providers;
                    assert_eq!(shape.provider_of_buyer(buyer), shape.provider_of_service(application.service));
                }
            }
        }
    }
}
