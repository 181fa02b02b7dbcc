//! What a comparison finds: kinds, how bad each is, what it means for a customer, and what sets it right.

use std::collections::BTreeMap;

use serde::Serialize;

use super::zync::ZyncCounts;

/// How bad a difference is, the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Rank {
    /// Backend lets in what System does not know.
    Security,
    /// Customers' data that one side lacks, or will.
    Loss,
    /// Configuration that differs.
    Drift,
    /// What normal life leaves behind.
    Note,
}

impl Rank {
    /// All, the worst first.
    pub const ALL: [Self; 4] = [Self::Security, Self::Loss, Self::Drift, Self::Note];

    /// As it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Security => "security",
            Self::Loss => "loss",
            Self::Drift => "drift",
            Self::Note => "note",
        }
    }
}

/// What sets a difference right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Repair {
    /// porta's own rewrite of Backend's configuration.
    Rewrite,
    /// The rewrite removes nothing: by hand.
    Remove,
    /// porta's own resynchronisation of zync.
    Resync,
    Text(&'static str),
    Nothing,
}

struct Words {
    code: &'static str,
    rank: Rank,
    meaning: &'static str,
    repair: Repair,
}

/// One table of kinds: name, code, rank, what it means, what sets it right.
macro_rules! kinds {
    ($($name:ident, $code:literal, $rank:ident, $meaning:literal, $repair:expr;)*) => {
        /// A kind of difference.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Kind {
            $(#[doc = $meaning] $name,)*
        }

        const ALL: &[Kind] = &[$(Kind::$name,)*];
        const KINDS: &[Words] = &[$(Words { code: $code, rank: Rank::$rank, meaning: $meaning, repair: $repair },)*];
    };
}

kinds! {
    UnknownService, "unknown-service", Security,
        "Backend serves a service that System does not have: its keys and tokens are accepted.",
        Repair::Remove;
    UnknownApplication, "unknown-application", Security,
        "Backend lets in an application that System does not have.",
        Repair::Remove;
    UnknownUserKey, "unknown-user-key", Security,
        "Backend accepts a user key that System does not have: one that was changed or revoked opens the door again.",
        Repair::Remove;
    UnknownApplicationKey, "unknown-application-key", Security,
        "Backend accepts an application key that System does not have: a revoked one opens the door again.",
        Repair::Remove;
    UnknownToken, "unknown-token", Security,
        "Backend accepts a service token that System does not have.",
        Repair::Remove;
    OtherProviderKey, "other-provider-key", Security,
        "Backend knows the service by another provider key than System: the old one is accepted, the new one refused.",
        Repair::Rewrite;
    NoKeyLeft, "no-key-left", Security,
        "Backend has none of the application's keys: it lets in whoever names the application's id, without a key.",
        Repair::Rewrite;
    NoReferrerLeft, "no-referrer-left", Security,
        "Backend has none of the application's referrers: it lets calls in from everywhere.",
        Repair::Rewrite;
    ChecksLess, "checks-less", Security,
        "Backend checks calls of the service less strictly than System says: it lets in what System does not.",
        Repair::Rewrite;
    CredentialOfComingService, "credential-of-coming-service", Security,
        "There is a credential of a service whose id System has not given yet: it will open the service that gets the id.",
        Repair::Text("By hand: remove the keys of that service from Backend's storage (SCAN 0 MATCH *service_id:SERVICE*), or raise AUTO_INCREMENT of services above it.");
    NotSuspended, "not-suspended", Security,
        "System does not let the application in, Backend does.",
        Repair::Rewrite;
    EventsBehind, "events-behind", Loss,
        "Backend will number new events like old ones: System drops them as known, and customers are told of no alert or first call.",
        Repair::Text("Live: `threescale-backup verify --repair`; a restore by this program raises events/id, too. By hand: SET events/id to at least the largest id of backend_events.");
    AlertsBehind, "alerts-behind", Loss,
        "Backend will number new alerts like old ones: System cannot store them.",
        Repair::Text("Live: `threescale-backup verify --repair`; a restore by this program raises alerts/current_id, too. By hand: SET alerts/current_id to at least the largest alert_id of alerts.");
    MarkedForDeletion, "marked-for-deletion", Loss,
        "The service's statistics are erased by Backend's next nightly run, though System has the service.",
        Repair::Text("Live: `threescale-backup verify --repair`; a restore by this program takes it off, too. By hand: SREM set_with_services_marked_for_deletion SERVICE.");
    FileMissing, "file-missing", Loss,
        "A row names a file that is not there: its page, logo or invoice cannot be opened.",
        Repair::Text("Restore system-storage of a set that has it.");
    FileDiffers, "file-differs", Loss,
        "A file has another size than its row says.",
        Repair::Text("Restore system-storage of a set that has it.");
    ServiceMissing, "service-missing", Drift,
        "Backend does not know the service: all its calls are refused.",
        Repair::Rewrite;
    ServiceNotActive, "service-not-active", Drift,
        "Backend refuses all calls of the service: its state there is not active.",
        Repair::Text("Somebody set it there; 3scale never does, and its rewrite leaves it. By hand: SET service/id:SERVICE/state active.");
    DefaultServiceDiffers, "default-service-differs", Drift,
        "Backend has not the provider's default service that System has: calls that name no service are refused, or counted for another one.",
        Repair::Rewrite;
    ServiceDiffers, "service-differs", Drift,
        "Backend checks calls of the service in another way than System says.",
        Repair::Rewrite;
    ApplicationMissing, "application-missing", Drift,
        "Backend does not know the application: its calls are refused.",
        Repair::Rewrite;
    ApplicationDiffers, "application-differs", Drift,
        "State or plan of the application are others in Backend: other limits, or calls that are refused.",
        Repair::Rewrite;
    UserKeyElsewhere, "user-key-elsewhere", Drift,
        "A user key leads to another application of the service: its calls are counted and limited as that one's.",
        Repair::Rewrite;
    UserKeyMissing, "user-key-missing", Drift,
        "Calls with the application's user key are refused.",
        Repair::Rewrite;
    ApplicationKeyMissing, "application-key-missing", Drift,
        "Calls with this application key are refused.",
        Repair::Rewrite;
    TokenMissing, "token-missing", Drift,
        "The gateway's calls with this service token are refused.",
        Repair::Rewrite;
    ReferrerMissing, "referrer-missing", Drift,
        "Calls from this referrer are refused.",
        Repair::Rewrite;
    UnknownReferrer, "unknown-referrer", Drift,
        "Backend allows a referrer that System does not.",
        Repair::Remove;
    MetricMissing, "metric-missing", Drift,
        "Backend does not know the metric: calls that report it are refused.",
        Repair::Rewrite;
    MetricDiffers, "metric-differs", Drift,
        "Name or parent of the metric are others in Backend: usage is counted elsewhere.",
        Repair::Rewrite;
    StaleParent, "stale-parent", Drift,
        "Usage of the metric is counted for a parent, too, that it does not have any more.",
        Repair::Text("Live: `threescale-backup verify --repair`; the rewrite of 3scale does not take it off. By hand: DEL metric/service_id:SERVICE/id:METRIC/parent_id.");
    UnknownMetric, "unknown-metric", Drift,
        "Backend counts a metric that System does not have.",
        Repair::Remove;
    LimitMissing, "limit-missing", Drift,
        "A limit is not enforced.",
        Repair::Rewrite;
    LimitDiffers, "limit-differs", Drift,
        "Another limit is enforced than System shows.",
        Repair::Rewrite;
    UnknownLimit, "unknown-limit", Drift,
        "A limit is enforced that System does not have.",
        Repair::Remove;
    AlertLevelMissing, "alert-level-missing", Drift,
        "No alert is sent at this level.",
        Repair::Text("Live: `threescale-backup verify --repair`; releases up to 2.16 do not rewrite alert levels. By hand: save the service's notification settings anew, or SADD alerts/service_id:SERVICE/allowed_set LEVEL.");
    UnknownAlertLevel, "unknown-alert-level", Drift,
        "Alerts are sent at a level that nobody chose.",
        Repair::Remove;
    ListDiffers, "list-differs", Drift,
        "One of Backend's lists of what there is lacks something: it is left out when Backend goes through them.",
        Repair::Rewrite;
    ListHasMore, "list-has-more", Drift,
        "One of Backend's lists of what there is has something more: it is met when Backend goes through them.",
        Repair::Text("Live: `threescale-backup verify --repair`; the rewrite of 3scale only adds. By hand: SREM it from the list.");
    KeysOfComingService, "keys-of-coming-service", Drift,
        "There are keys of a service whose id System has not given yet: the service that gets it inherits them.",
        Repair::Text("By hand: raise AUTO_INCREMENT of services above it, or remove the keys from Backend's storage.");
    UsageOfComingService, "usage-of-coming-service", Drift,
        "There are counters of a service whose id System has not given yet: the service that gets it inherits them.",
        Repair::Text("By hand: raise AUTO_INCREMENT of services above it.");
    ZyncTenantMissing, "zync-tenant-missing", Drift,
        "zync does not know the tenant, or never asked System for it: a Route to one of its portals that is missing is not made.",
        Repair::Resync;
    ZyncProxyMissing, "zync-proxy-missing", Drift,
        "zync does not know the service's gateway, or never asked System for it: a Route to it that is missing is not made, and customers cannot reach it.",
        Repair::Resync;
    ZyncApplicationMissing, "zync-application-missing", Drift,
        "zync does not know an application of a service with OpenID Connect: the identity provider may have no client for it, and its users get no token.",
        Repair::Text("In a pod of system-app or system-sidekiq: bundle exec rake zync:resync:full; up to 3scale 2.16, which has no such task: save the application anew in the admin portal, or by the API.");
    ZyncTookAway, "zync-took-away", Drift,
        "When zync last asked, System had no such thing, or another gateway: zync has taken away its Routes or its client, though System has it.",
        Repair::Resync;
    ZyncAddressDiffers, "zync-address-differs", Drift,
        "zync made the Route for another address than System has: callers of the address that System has do not come here.",
        Repair::Resync;
    ZyncUnknownTenant, "zync-unknown-tenant", Drift,
        "zync keeps a tenant that System does not have, and was never told that it is gone: Routes lead to portals that nobody has.",
        Repair::Text("By hand: kubectl delete route -l 3scale.net/created-by=zync,zync.3scale.net/ingress=provider,3scale.net/provider_id=TENANT; it comes back only if System has the tenant again.");
    ZyncUnknownProxy, "zync-unknown-proxy", Drift,
        "zync keeps the gateway of a service that System does not have, and was never told that it is gone: Routes lead to it, and it refuses the calls.",
        Repair::Text("By hand: kubectl delete route -l 3scale.net/created-by=zync,zync.3scale.net/ingress=proxy,3scale.net/service_id=SERVICE; it comes back only if System has the service again.");
    ZyncUnknownApplication, "zync-unknown-application", Drift,
        "zync keeps an application of a service with OpenID Connect that System does not have: the identity provider may still give tokens to it, which Backend refuses.",
        Repair::Text("By hand: remove the client from the identity provider (Keycloak: Clients); zync does not do it, because nobody tells it any more.");
    ZyncFailed, "zync-failed", Drift,
        "zync's last attempt to make a Route, or to bring something to the identity provider, failed.",
        Repair::Text("See why: kubectl logs deployment/zync-que (or dc/zync-que); then, in a pod of system-app or system-sidekiq: bundle exec rake zync:resync:domains");
    ZyncJobGivenUp, "zync-job-given-up", Drift,
        "zync has given a job up after its last attempt: what it was to do is not done until the same thing changes again.",
        Repair::Text("In a pod of zync: bundle exec rake que:force_update; or in a pod of system-app or system-sidekiq: bundle exec rake zync:resync:domains. The row stays until somebody deletes it from que_jobs.");
    RouteMissing, "route-missing", Drift,
        "No Route leads to the address: callers do not come to it through OpenShift's router.",
        Repair::Resync;
    RouteRefused, "route-refused", Drift,
        "OpenShift's router has not admitted the Route of the address.",
        Repair::Text("See why: kubectl get route -o yaml, status.ingress.conditions; often another namespace has the address (HostAlreadyClaimed).");
    SearchLacks, "search-lacks", Drift,
        "The search index has fewer of a kind than the database: searches in the portals do not find some.",
        Repair::Text("In a pod of system-app or system-sidekiq: bundle exec rake searchd:optimal_index; up to 3scale 2.13: restart system-sphinx.");
    UnknownRoute, "unknown-route", Note,
        "A Route that zync made leads to an address that System does not have.",
        Repair::Nothing;
    SearchHasMore, "search-has-more", Note,
        "The search index has more of a kind than the database: what is gone is left out when a search is shown.",
        Repair::Nothing;
    ZyncLeftover, "zync-leftover", Note,
        "zync remembers what System does not have: it forgets nothing, and nothing leads there.",
        Repair::Nothing;
    UsageOfGoneService, "usage-of-gone-service", Note,
        "There are counters of a service that is gone.",
        Repair::Nothing;
    Leftover, "leftover", Note,
        "Keys of what is gone on both sides: normal life leaves them, they let nobody in.",
        Repair::Nothing;
    StaleAttribute, "stale-attribute", Note,
        "Backend still has a redirect URL that System does not: it never takes one off when it is emptied.",
        Repair::Nothing;
    IdleMissing, "idle-missing", Note,
        "Something of a suspended or deleted tenant or service is not in Backend.",
        Repair::Nothing;
}

impl Kind {
    /// By its number; `None` when there is no such kind.
    pub(crate) fn at(number: u8) -> Option<Self> {
        ALL.get(usize::from(number)).copied()
    }

    fn words(self) -> &'static Words {
        KINDS.get(self as usize).unwrap_or(&KINDS[0])
    }

    /// As it is written: `unknown-user-key`.
    #[must_use]
    pub fn code(self) -> &'static str {
        self.words().code
    }

    /// How bad it is.
    #[must_use]
    pub fn rank(self) -> Rank {
        self.words().rank
    }

    /// What it means for a customer.
    #[must_use]
    pub fn meaning(self) -> &'static str {
        self.words().meaning
    }

    /// What sets it right; `None` where nothing has to be.
    #[must_use]
    pub fn repair(self) -> Option<&'static str> {
        match self.words().repair {
            Repair::Rewrite => Some(
                "Live: `threescale-backup verify --repair`; or in a pod of system-app or system-sidekiq: bundle exec rake backend:storage:rewrite",
            ),
            Repair::Remove => Some(
                "Live: `threescale-backup verify --repair`. The rewrite of 3scale (bundle exec rake backend:storage:rewrite) removes nothing.",
            ),
            Repair::Resync => Some(
                "In a pod of system-app or system-sidekiq: bundle exec rake zync:resync:domains (releases after 2.16 have zync:resync:full, too); zync-que then makes the Routes.",
            ),
            Repair::Text(text) => Some(text),
            Repair::Nothing => None,
        }
    }
}

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The service's id; empty where there is none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub service: String,
    /// The application's id as customers see it, with `+` for spaces; empty where there is none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub application: String,
    /// What of it. Never a key or a token.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

/// Differences of one kind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// How many.
    pub count: u64,
    /// The first of them.
    pub examples: Vec<Finding>,
}

/// All that was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// By kind.
    pub kinds: BTreeMap<Kind, Found>,
    /// Services, applications and credentials that were compared.
    pub services: u64,
    /// See [`Self::services`].
    pub applications: u64,
    /// See [`Self::services`].
    pub credentials: u64,
    /// Files that rows name.
    pub files: u64,
    /// What was compared of zync, where it was.
    pub zync: Option<ZyncCounts>,
    /// Addresses for which Routes were looked for, where they were.
    pub addresses: Option<u64>,
    /// Search indices that were counted, where they were.
    pub indices: Option<u64>,
}

impl Report {
    pub(super) fn add(&mut self, limit: usize, kind: Kind, finding: impl FnOnce() -> Finding) {
        let found = self.kinds.entry(kind).or_default();
        found.count += 1;
        if found.examples.len() < limit {
            found.examples.push(finding());
        }
    }

    /// How many differences of a rank there are.
    #[must_use]
    pub fn count(&self, rank: Rank) -> u64 {
        self.kinds.iter().filter(|(kind, _)| kind.rank() == rank).map(|(_, found)| found.count).sum()
    }

    /// The worst rank of all; `None` when both sides agree.
    #[must_use]
    pub fn worst(&self) -> Option<Rank> {
        self.kinds.keys().map(|kind| kind.rank()).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_words_of_its_own() {
        assert_eq!((Kind::UnknownService.code(), Kind::IdleMissing.code()), ("unknown-service", "idle-missing"));
        assert!(KINDS.is_sorted_by_key(|words| words.rank), "the worst first");
        let mut codes: Vec<_> = KINDS.iter().map(|words| words.code).collect();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), KINDS.len());
    }
}
