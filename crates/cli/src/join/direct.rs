//! Platform `direct`: every address stands in the configuration, and the writers are stopped by commands of the operator's own, or by hand.

use std::sync::Arc;

use plan::ids::DataSetName;
use plan::ports::{Context, DataSet, NothingToSynchronise, Problem, Shelf, Snapshot, Synchronise, Writers};
use plan::{Error, InstallationId, Policies, Result, WritersAre};
use secrecy::ExposeSecret;

use super::endpoint::{self, BackendRedis, Database};
use super::stores::{self, DatabaseOptions, RedisOptions};
use super::{Documents, Installation, Patience, Seen, bucket};
use crate::config::{Config, RedisSection};
use crate::output::Output;
use crate::writers::{self, Consent};

/// The configured addresses.
pub(super) struct Direct {
    config: Config,
    patience: Patience,
}

impl Direct {
    pub(super) const fn new(config: Config, patience: Patience) -> Self {
        Self { config, patience }
    }

    /// A name for people, where none is configured: where the system database is, else where the first of the others is. Without user and password.
    fn name_of_address(&self) -> String {
        let of = |name: DataSetName| -> Option<String> {
            match name {
                DataSetName::SystemDatabase | DataSetName::ZyncDatabase => {
                    Some(place_of(self.config.database(name).ok()?.url.expose_secret()))
                }
                DataSetName::SystemStorage => Some(self.config.storage().ok()?.path),
                DataSetName::BackendRedis => Some(place_of(self.config.redis(name).ok()?.storage_url?.expose_secret())),
                DataSetName::SystemRedis => Some(place_of(self.config.redis(name).ok()?.url?.expose_secret())),
                DataSetName::KubernetesObjects => None,
            }
        };
        // Not that of the next one when an address cannot be read: it would be the name of another installation.
        self.config.data_sets().into_iter().find(|name| *name != DataSetName::KubernetesObjects).and_then(of).unwrap_or_default()
    }

    fn make(&self, name: DataSetName, policies: Policies) -> Result<Arc<dyn DataSet>> {
        match name {
            DataSetName::SystemDatabase | DataSetName::ZyncDatabase => {
                let section = self.config.database(name)?;
                let at = Database::of(name, &section)?;
                stores::database(name, at, DatabaseOptions::of(section), &self.patience)
            }
            DataSetName::SystemStorage => {
                let section = self.config.storage()?;
                match section.bucket() {
                    Some(bucket) => bucket::configured(bucket, section.s3.clone()).and_then(|bucket| bucket::store(&bucket, policies)),
                    None => {
                        let options = files_data_set::Options { skip_unreadable: section.skip_unreadable, identity: None };
                        Ok(Arc::new(files_data_set::FilesStore::new(name, section.path.into(), options)) as Arc<dyn DataSet>)
                    }
                }
            }
            DataSetName::BackendRedis => {
                let section = self.config.redis(name)?;
                stores::backend_redis(BackendRedis::of(&section)?, redis_options(&section, policies), &self.patience)
            }
            DataSetName::SystemRedis => {
                let section = self.config.redis(name)?;
                stores::system_redis(endpoint::system_redis(&section)?, redis_options(&section, policies), &self.patience)
            }
            DataSetName::KubernetesObjects => Err(Error::refused("there are no Kubernetes objects on the platform \"direct\"")
                .hint("Leave it out with --only, or set [platform] kind = \"kubernetes\".")),
        }
    }
}

/// Reads the files for TLS that a section with an address names.
pub(super) fn check_files(config: &Config, name: DataSetName) -> Result<()> {
    match name {
        DataSetName::SystemDatabase | DataSetName::ZyncDatabase => Database::of(name, &config.database(name)?)?.check_files(),
        DataSetName::BackendRedis => BackendRedis::of(&config.redis(name)?)?.check_files(),
        DataSetName::SystemRedis => endpoint::system_redis(&config.redis(name)?)?.check_files(),
        // Of a bucket they are read when it is made.
        DataSetName::SystemStorage | DataSetName::KubernetesObjects => Ok(()),
    }
}

fn redis_options(section: &RedisSection, policies: Policies) -> RedisOptions {
    RedisOptions {
        queues: policies.queues,
        large_values: policies.large_values,
        namespace: section.namespace.clone(),
        file_road: None,
        known_as: None,
    }
}

impl Installation for Direct {
    fn id(&self) -> InstallationId {
        InstallationId::named(self.config.installation_name().unwrap_or_else(|| self.name_of_address()))
    }

    fn release(&self) -> Option<String> {
        self.config.installation_release()
    }

    fn expected(&self) -> Vec<DataSetName> {
        DataSetName::STORES.to_vec()
    }

    fn absent(&self) -> Vec<DataSetName> {
        self.config.absent()
    }

    fn names(&self) -> Vec<DataSetName> {
        self.config.data_sets()
    }

    fn data_set(&self, name: DataSetName, policies: Policies) -> Result<Arc<dyn DataSet>> {
        self.make(name, policies).map_err(|error| error.during(format!("[{name}] cannot be used")))
    }

    fn way_to(&self, missing: DataSetName) -> String {
        if self.config.absent().contains(&missing) {
            return format!("Remove `absent = true` from [{missing}], and add its address");
        }
        format!("Add a section [{missing}] with its address")
    }

    fn writers(&self, output: &Output, consent: Consent) -> Result<Arc<dyn Writers>> {
        writers::of(&self.config, output, consent)
    }

    fn writers_are(&self, are_stopped: bool, yes: bool) -> Option<WritersAre> {
        if self.config.has("writers") {
            Some(WritersAre::Ours)
        } else if are_stopped {
            Some(WritersAre::Stopped)
        } else {
            yes.then_some(WritersAre::Running)
        }
    }

    fn synchronise(&self) -> Result<Arc<dyn Synchronise>> {
        Ok(Arc::new(NothingToSynchronise))
    }

    fn shelf(&self) -> Option<Arc<dyn Shelf>> {
        None
    }

    fn differences(&self, _context: &Context, _snapshot: &dyn Snapshot, _policies: Policies) -> Result<Vec<String>> {
        Ok(Vec::new())
    }

    fn search_index(&self, _context: &Context, names: &[&'static str]) -> Result<Seen<Documents>> {
        let Some((host, port)) = self.config.search_index()? else {
            return Ok(Seen::NotConfigured("[search-index] is not configured".to_owned()));
        };
        stores::documents(&host, port, names, &self.patience).map(Seen::All)
    }

    fn facts(&self) -> Vec<(String, String)> {
        Vec::new()
    }

    fn problems(&self) -> Vec<Problem> {
        Vec::new()
    }
}

/// `host:port/database` of an address: what stands between scheme and login on one side, and options on the other.
fn place_of(url: &str) -> String {
    // What has no scheme may be anything, a password too.
    let Some((_, rest)) = url.split_once("://") else { return String::new() };
    // A password may have been written with a `#` or `?` in it: all before the last `@` is the login.
    let place = rest.rsplit_once('@').map_or(rest, |(_, place)| place);
    place.split(['?', '#']).next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::place_of;

    #[test]
    fn the_place_of_an_address_has_no_login() {
        assert_eq!(place_of("mysql2://root:p%40ss@db.example:3306/system?x=1"), "db.example:3306/system");
        assert_eq!(place_of("redis://:s@cret@h:6379/1"), "h:6379/1");
        assert_eq!(place_of("mysql2://app:secret#1?x@h:3306/system?y=z"), "h:3306/system");
        assert_eq!(place_of("unix:///run/redis.sock?db=1"), "/run/redis.sock");
    }
}
