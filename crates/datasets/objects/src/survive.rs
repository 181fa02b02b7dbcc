//! What must survive for the data to be usable (`3scale-facts.md`, 1.4): values in Secrets that the database, the Redis keys or the clients have a copy of.
//!
//! The dump writes facts; `fits` compares them with the target, before anything is touched.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use plan::Result;
use plan::evidence::Evidence;
use plan::ports::{Problem, Severity};
use plan::release::{self as releases, Known, has_redis_namespace, judge};
use serde_json::Value;

use crate::Policy;
use crate::collect::{Collected, wildcard_domain};
use crate::digest;
use crate::object::Object;
use crate::release;

const SALT: &str = "digest-salt";
const NAMESPACE: &str = "namespace";
const WILDCARD_DOMAIN: &str = "wildcard-domain";
const SUPERDOMAIN: &str = "superdomain";
const RELEASE: &str = "release";
const API_USER: &str = "backend-internal-api-username";
const REDIS_NAMESPACE: &str = "system-redis-namespace";
const NAMES_NAMESPACE: &str = "names-namespace";
const WITHOUT_ID: &str = "without-id";
const OVERWRITE: &str = "Use --objects overwrite: the set's value goes back with the data.";

/// A value that something else has a copy of.
struct Row {
    secret: &'static str,
    key: &'static str,
    severity: Severity,
    otherwise: &'static str,
}

const ROWS: [Row; 8] = [
    Row {
        secret: "system-master-apicast",
        key: "ACCESS_TOKEN",
        severity: Severity::Blocks,
        otherwise: "the restored database knows the set's token only, so APIcast could not fetch its configuration",
    },
    Row {
        secret: "system-seed",
        key: "MASTER_ACCESS_TOKEN",
        severity: Severity::Degrades,
        otherwise: "the operator could not manage tenants with it in the restored database",
    },
    Row {
        secret: "system-seed",
        key: "ADMIN_ACCESS_TOKEN",
        severity: Severity::Degrades,
        otherwise: "the operator could not manage products and accounts with it in the restored database",
    },
    Row {
        secret: "system-app",
        key: "SECRET_KEY_BASE",
        severity: Severity::Degrades,
        otherwise: "everyone is logged out and signed links are invalid",
    },
    Row {
        secret: "zync",
        key: "SECRET_KEY_BASE",
        severity: Severity::Degrades,
        otherwise: "a newer zync could not read the access tokens in its restored database",
    },
    Row {
        secret: "zync",
        key: "ZYNC_AUTHENTICATION_TOKEN",
        severity: Severity::Note,
        otherwise: "System and zync share it: both must be restarted",
    },
    Row {
        secret: "backend-internal-api",
        key: "password",
        severity: Severity::Note,
        otherwise: "System and Backend share it: both must be restarted",
    },
    Row {
        secret: "system-events-hook",
        key: "PASSWORD",
        severity: Severity::Note,
        otherwise: "System and Backend share it: both must be restarted",
    },
];

/// What of the target matters here.
#[derive(Debug)]
pub(crate) struct Target<'a> {
    pub namespace: &'a str,
    pub policy: Policy,
    pub found: &'a Collected,
}

/// Writes what a later `fits` compares with. Never the content of a Secret, but for what is none: the key prefix of system-redis, and the name by which System and
/// Backend know each other.
pub(crate) fn write_facts(evidence: &mut Evidence, namespace: &str, collected: &Collected) -> Result<()> {
    let salt = digest::salt()?;
    let facts = &mut evidence.facts;
    facts.insert(NAMESPACE.to_owned(), namespace.to_owned());
    let domain = collected.apimanagers().find_map(|apimanager| wildcard_domain(&apimanager.value));
    let environment = |key: &str| environment(collected, key);
    let plain = [
        (WILDCARD_DOMAIN, domain.map(str::to_owned)),
        (SUPERDOMAIN, environment("THREESCALE_SUPERDOMAIN")),
        (RELEASE, release::release(collected)),
        (API_USER, secret_value(collected, "backend-internal-api", "username").and_then(|value| String::from_utf8(value).ok())),
        (REDIS_NAMESPACE, secret_value(collected, "system-redis", "NAMESPACE").and_then(|value| String::from_utf8(value).ok())),
    ];
    facts.extend(plain.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
    for row in &ROWS {
        if let Some(value) = secret_value(collected, row.secret, row.key) {
            facts.insert(format!("digest.{}/{}", row.secret, row.key), digest::kept(&salt, &value));
        }
    }
    facts.insert(SALT.to_owned(), salt);
    let mut names: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for object in &collected.objects {
        names.entry(format!("names.{}", object.key.kind)).or_default().push(object.key.name.clone());
    }
    names.insert(NAMES_NAMESPACE.to_owned(), naming_namespace(collected, namespace));
    names.insert(WITHOUT_ID.to_owned(), collected.without_id.clone());
    facts.extend(names.into_iter().filter(|(_, names)| !names.is_empty()).map(|(fact, names)| (fact, some(&names))));
    facts.extend(collected.left_out.iter().map(|(kind, count)| (format!("left-out.{kind}"), count.to_string())));
    Ok(())
}

/// What of the set does not fit the target.
pub(crate) fn compare(evidence: &Evidence, target: &Target<'_>) -> Vec<Problem> {
    let mut problems = Vec::new();
    problems.extend(apimanager(evidence, target));
    problems.extend(domains(evidence, target));
    problems.extend(other_release(evidence, target));
    problems.extend(redis_namespace(evidence, target));
    problems.extend(api_user(evidence, target));
    let salt = evidence.facts.get(SALT).map_or("", String::as_str);
    for row in &ROWS {
        if let Some(kept) = evidence.facts.get(&format!("digest.{}/{}", row.secret, row.key)) {
            problems.extend(row.compare(kept, salt, target));
        }
    }
    problems.extend(elsewhere(evidence, target));
    problems
}

impl Row {
    fn compare(&self, kept: &str, salt: &str, target: &Target<'_>) -> Option<Problem> {
        // A Secret that is missing is put back as a whole.
        target.found.core("Secret", self.secret)?;
        let value = secret_value(target.found, self.secret, self.key);
        let here = value.map_or_else(|| "absent".to_owned(), |value| digest::kept(salt, &value));
        let name = format!("{} of Secret {}", self.key, self.secret);
        if here == kept && here != "present" {
            return None;
        }
        if target.policy == Policy::Overwrite {
            return Some(Problem::new(Severity::Note, format!("{name} will be overwritten with the set's (digest {kept}, here {here})")));
        }
        if here == kept {
            return Some(
                Problem::new(Severity::Note, format!("{name} is too short to be compared by digest: see that it is the set's"))
                    .way_out(OVERWRITE),
            );
        }
        let text = format!("{name} differs from the set's (digest {kept}, here {here}): {}", self.otherwise);
        Some(Problem::new(self.severity, text).way_out(OVERWRITE))
    }
}

fn apimanager(evidence: &Evidence, target: &Target<'_>) -> Option<Problem> {
    let Some(kept) = evidence.facts.get("names.APIManager") else {
        return (target.policy == Policy::IntoEmpty).then(|| {
            Problem::new(Severity::Blocks, "the set has no APIManager, from which the operator makes the installation")
                .way_out("Deploy 3scale as it was; then restore without --into-empty.")
        });
    };
    let mut here: Vec<_> = target.found.apimanagers().map(|apimanager| apimanager.key.name.as_str()).collect();
    here.sort_unstable();
    if here.is_empty() && target.policy == Policy::IntoEmpty {
        let release = evidence.facts.get(RELEASE).map(|release| format!(" of 3scale {release}")).unwrap_or_default();
        let text = format!(
            "APIManager {kept}{release} is created with its writers at 0: the operator makes the installation, and they start when the data is there"
        );
        return Some(Problem::new(Severity::Note, text));
    }
    if here.is_empty() {
        let text = format!(
            "there is no APIManager here: {kept} is created at the cut-over, and from it the operator creates the whole installation"
        );
        return Some(
            Problem::new(Severity::Degrades, text)
                .way_out("Hold the operator (scale it to 0) until the databases are restored: a system-app that starts over an empty one seeds a new tenant."),
        );
    }
    let other = !here.iter().any(|name| kept.split(", ").any(|kept| kept == *name));
    other.then(|| {
        Problem::new(
            Severity::Note,
            format!("the APIManager here is {}, the set's is {kept}: a second one is not created", here.join(", ")),
        )
    })
}

fn domains(evidence: &Evidence, target: &Target<'_>) -> Option<Problem> {
    let here = target.found.apimanagers().find_map(|apimanager| Some((apimanager, wildcard_domain(&apimanager.value)?)));
    let superdomain = environment(target.found, "THREESCALE_SUPERDOMAIN");
    let wildcard = evidence.facts.get(WILDCARD_DOMAIN).zip(here.map(|(_, domain)| domain.to_owned()));
    let overwritten = here.is_none_or(|(apimanager, _)| {
        evidence.facts.get("names.APIManager").is_some_and(|names| names.split(", ").any(|name| name == apimanager.key.name))
    });
    let (what, kept, here) = match (wildcard, evidence.facts.get(SUPERDOMAIN).zip(superdomain)) {
        (Some((kept, here)), _) if *kept != here => ("spec.wildcardDomain of the APIManager", kept, here),
        (_, Some((kept, here))) if *kept != here => ("THREESCALE_SUPERDOMAIN of ConfigMap system-environment", kept, here),
        _ => return None,
    };
    if target.policy == Policy::Overwrite && overwritten {
        return Some(Problem::new(Severity::Note, format!("{what} will be overwritten: {kept} instead of {here}")));
    }
    let text = format!(
        "{what} is {here}, the set's is {kept}: the restored database holds the set's domain in its rows, so nothing would answer here"
    );
    Some(Problem::new(Severity::Blocks, text).way_out(format!(
        "Give the installation the domain {kept} (--objects overwrite, or edit the APIManager), or use --objects none and change the domains in the \
         database after the restore."
    )))
}

fn other_release(evidence: &Evidence, target: &Target<'_>) -> Option<Problem> {
    let (kept, here) = evidence.facts.get(RELEASE).zip(release::release(target.found))?;
    let known = |release| Known { release: Some(release), schema: None };
    let told = judge(known(kept.as_str()), known(here.as_str()));
    let is_refused = told.as_ref().is_some_and(|problem| problem.severity == Severity::Blocks);
    if is_refused || *kept == here || releases::compare(kept, &here) == Some(Ordering::Equal) {
        return told;
    }
    let text = format!("the set is of 3scale {kept}, here is {here}");
    Some(match target.policy {
        Policy::Missing | Policy::IntoEmpty => Problem::new(Severity::Note, text),
        Policy::Overwrite => Problem::new(Severity::Degrades, format!("{text}: objects of the old release are put over those of the new one"))
            .way_out("Use --objects missing, unless a value that differs must come back; where the data lives and how many pods there are stays in any case."),
    })
}

fn redis_namespace(evidence: &Evidence, target: &Target<'_>) -> Option<Problem> {
    target.found.core("Secret", "system-redis")?;
    let kept = evidence.facts.get(REDIS_NAMESPACE).map_or("", String::as_str);
    let here = secret_value(target.found, "system-redis", "NAMESPACE").unwrap_or_default();
    if kept.as_bytes() == here {
        return None;
    }
    let here = String::from_utf8_lossy(&here);
    let text =
        format!("NAMESPACE of Secret system-redis is {here:?}, the set's is {kept:?}: it is the prefix of every key of system-redis");
    Some(match target.policy {
        Policy::Overwrite if evidence.facts.contains_key(REDIS_NAMESPACE) => {
            Problem::new(Severity::Note, format!("{text}; it will be overwritten"))
        }
        _ if !has_redis_namespace(release::release(target.found).as_deref()) => {
            Problem::new(Severity::Note, format!("{text} up to 3scale 2.13; the release here does not read it"))
        }
        _ => Problem::new(Severity::Blocks, format!("{text}, so System would not see its jobs"))
            .way_out("Use --objects overwrite where this release still reads NAMESPACE, or leave the data set system-redis out."),
    })
}

/// The name goes with the password, which is compared by its digest.
fn api_user(evidence: &Evidence, target: &Target<'_>) -> Option<Problem> {
    let kept = evidence.facts.get(API_USER)?;
    let here = secret_value(target.found, "backend-internal-api", "username")?;
    if kept.as_bytes() == here {
        return None;
    }
    let text = format!("username of Secret backend-internal-api is {:?}, the set's is {kept:?}", String::from_utf8_lossy(&here));
    Some(match target.policy {
        Policy::Overwrite => Problem::new(Severity::Note, format!("{text}; it will be overwritten")),
        Policy::Missing | Policy::IntoEmpty => Problem::new(
            Severity::Note,
            format!("{text}: System and Backend share it, and the password: both must be restarted when one is changed"),
        ),
    })
}

/// What names the namespace of the past, and custom resources whose id does not go back.
fn elsewhere(evidence: &Evidence, target: &Target<'_>) -> Vec<Problem> {
    let mut problems = Vec::new();
    let namespace = evidence.facts.get(NAMESPACE);
    if let (Some(from), Some(names)) = (namespace.filter(|from| *from != target.namespace), evidence.facts.get(NAMES_NAMESPACE)) {
        problems.push(
            Problem::new(Severity::Degrades, format!("the set is of namespace {from}, and these name it in a host: {names}"))
                .way_out(format!("Where one of them is put back, change .{from} to .{} afterwards.", target.namespace)),
        );
    }
    if let Some(names) = evidence.facts.get(WITHOUT_ID) {
        problems.push(
            Problem::new(Severity::Degrades, format!("the 3scale ids of these resources are only in `status`, which is not restored: {names}"))
                .way_out("Where one of them is missing here, the operator may make a second one in 3scale: add the annotation with the id before it runs."),
        );
    }
    problems
}

fn environment(collected: &Collected, key: &str) -> Option<String> {
    let config_map = collected.core("ConfigMap", "system-environment")?;
    config_map.value.get("data")?.get(key)?.as_str().map(str::to_owned)
}

fn secret_value(collected: &Collected, secret: &str, key: &str) -> Option<Vec<u8>> {
    entry(collected.core("Secret", secret)?, key)
}

fn entry(secret: &Object, key: &str) -> Option<Vec<u8>> {
    digest::decoded(secret.value.get("data")?.get(key)?.as_str()?)
}

/// Secrets and ConfigMaps with a host of the namespace in a value: `name.<namespace>.svc`.
fn naming_namespace(collected: &Collected, namespace: &str) -> Vec<String> {
    let host = format!(".{namespace}.svc");
    let names = |object: &Object, value: &Value| {
        let text = value.as_str().unwrap_or_default();
        if object.key.is_core("Secret") {
            digest::decoded(text).is_some_and(|bytes| String::from_utf8_lossy(&bytes).contains(&host))
        } else {
            text.contains(&host)
        }
    };
    let mut found = Vec::new();
    for object in collected.objects.iter().filter(|object| object.key.group.is_empty()) {
        let entries = object.value.get("data").and_then(Value::as_object).into_iter().flatten();
        found.extend(entries.filter(|(_, value)| names(object, value)).map(|(key, _)| format!("{}/{key}", object.key.name)));
    }
    found
}

/// A list that does not grow with the installation.
fn some(names: &[String]) -> String {
    const SHOWN: usize = 100;
    let shown = names.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN { format!("{shown} and {} more", names.len() - SHOWN) } else { shown }
}
