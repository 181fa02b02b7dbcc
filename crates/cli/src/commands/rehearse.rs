//! `rehearse`: stages and proves a set in throw-away servers. The live installation is not touched, nor even reached.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use lab::{Mysql, MysqlKind, Postgres, Redis, RedisKind};
use plan::choice::Whose;
use plan::evidence::Evidence;
use plan::ids::DataSetName;
use plan::manifest::{KeptDataSet, Manifest};
use plan::ports::{Context, DataSet, Noted, NothingToSynchronise, Repository, StoreKind, WriterGroup, Writers};
use plan::{Error, InstallationId, Result, plan_rehearsal};
use runner::Hands;
use tempfile::TempDir;

use crate::app::App;
use crate::args;
use crate::commands::backup::with_way_out;
use crate::commands::restore::{print_plan, targets};
use crate::commands::runs::print_report;
use crate::whose::Wanted;

pub(crate) fn rehearse(app: &App, args: &args::Rehearse) -> Result<()> {
    let config = app.config()?;
    let repository: Arc<dyn Repository> = app.repository(&config)?;
    let wanted = Wanted::new("rehearse", &args.set, args.partial.partial);
    let (chosen, whose) = app.find_set(&config, repository.as_ref(), &wanted)?;
    let manifest = chosen.manifest;
    let names = names_in(&manifest, &args.only.only)?;
    let state = app.state(&config, None)?;

    let run = runner::new_run_id();
    let context = app.context(&config, run.clone(), InstallationId::default())?;
    let mut stage = Stage::default();
    let mut data_sets = BTreeMap::new();
    for (name, kept) in names {
        context.stop.check()?;
        app.output.note(&format!("starting a throw-away server for {name} ({})", kept.store));
        data_sets.insert(name, stage.prepare(name, kept)?);
    }
    let mut plan = plan_rehearsal(run.clone(), manifest.set.clone(), targets(&data_sets, &context, &manifest, false)?);
    plan.from = manifest.installation.clone().filter(|_| matches!(whose, Whose::Named(_)));
    if !app.output.json {
        app.output.note(&print_plan(&plan, &manifest));
    }
    plan.check()?;
    let (writers, synchronise) = (Arc::new(NoWriters), Arc::new(NothingToSynchronise));
    let hands = Hands {
        repository,
        data_sets,
        writers,
        synchronise,
        context,
        copies_journal: false,
        host: app.host(),
        rests: Vec::new(),
        examine: None,
        rewriter: None,
        repairer: None,
        row_worker: None,
    };
    let journal = state.begin(plan)?;
    runner::run(&journal, &hands).map_err(|error| with_way_out(error, &journal.run()))?;
    app.output.note(&format!("set {} was staged and proven; the throw-away servers are removed", manifest.set));
    print_report(app, &state, &run)
}

fn names_in<'a>(manifest: &'a Manifest, only: &[DataSetName]) -> Result<BTreeMap<DataSetName, &'a KeptDataSet>> {
    if let Some(missing) = only.iter().find(|name| !manifest.data_sets.contains_key(name)) {
        return Err(Error::refused(format!("set {} has no {missing}", manifest.set)).hint("`threescale-backup show` says what it has."));
    }
    let objects = DataSetName::KubernetesObjects;
    if only.contains(&objects) {
        return Err(Error::refused(format!("there is no throw-away server for {objects}"))
            .hint("Leave it out of --only: `plan` shows what it would change."));
    }
    let is_wanted = |name: &DataSetName| *name != objects && (only.is_empty() || only.contains(name));
    Ok(manifest.data_sets.iter().filter(|(name, _)| is_wanted(name)).map(|(name, kept)| (*name, kept)).collect())
}

/// The throw-away servers; they end with this value.
#[derive(Default)]
struct Stage {
    mysql: Vec<Mysql>,
    postgres: Vec<Postgres>,
    redis: Vec<Redis>,
    folders: Vec<TempDir>,
}

impl Stage {
    fn prepare(&mut self, name: DataSetName, kept: &KeptDataSet) -> Result<Arc<dyn DataSet>> {
        match &kept.kind {
            StoreKind::MySql => self.mysql(name, MysqlKind::Mysql),
            StoreKind::MariaDb => self.mysql(name, MysqlKind::Mariadb),
            StoreKind::PostgreSql => self.postgres(name),
            StoreKind::Redis => self.redis(name, kept),
            StoreKind::Files | StoreKind::Bucket => self.files(name),
            other @ (StoreKind::Objects | StoreKind::Other(_)) => {
                Err(Error::refused(format!("{name} is of kind {other}, for which there is no throw-away server")))
            }
        }
    }

    fn mysql(&mut self, name: DataSetName, kind: MysqlKind) -> Result<Arc<dyn DataSet>> {
        let server = Mysql::start_on_socket(kind, &["--local-infile=1", "--innodb-buffer-pool-size=256M"])?;
        run(server.client().args(["-e", "CREATE DATABASE `system`"]), "create the database")?;
        let address = mysql_data_set::Address::parse(&server.url("system"))?;
        self.mysql.push(server);
        Ok(Arc::new(mysql_data_set::MysqlStore::new(name, address, mysql_data_set::Options::default())))
    }

    fn postgres(&mut self, name: DataSetName) -> Result<Arc<dyn DataSet>> {
        let server = Postgres::start_on_socket(&[])?;
        run(server.client().args(["-c", "CREATE DATABASE rehearsal TEMPLATE template0"]), "create the database")?;
        let address = postgres_data_set::Address::parse(&server.url("rehearsal"))?;
        self.postgres.push(server);
        Ok(Arc::new(postgres_data_set::PostgresStore::new(name, address, postgres_data_set::Options::default())))
    }

    fn redis(&mut self, name: DataSetName, kept: &KeptDataSet) -> Result<Arc<dyn DataSet>> {
        let server = Redis::start_on_socket(redis_kind(name, &kept.store, &kept.evidence)?, &[])?;
        let labels: &[&'static str] = if name == DataSetName::BackendRedis { &["storage", "queues"] } else { &["system"] };
        let address = |(db, label)| Ok((label, redis_data_set::Address::parse(&server.url(db))?));
        let addresses = (0..).zip(labels.iter().copied()).map(address).collect::<Result<Vec<_>>>()?;
        let store = redis_data_set::RedisStore::new(name, addresses, redis_data_set::Options::default())?;
        self.redis.push(server);
        Ok(Arc::new(store))
    }

    fn files(&mut self, name: DataSetName) -> Result<Arc<dyn DataSet>> {
        let mode = std::fs::Permissions::from_mode(0o700);
        let folder = tempfile::Builder::new().prefix("threescale-rehearsal-").permissions(mode).tempdir();
        let folder = folder.map_err(|error| Error::failed("failed to make a temporary folder").because(error))?;
        let store = files_data_set::FilesStore::new(name, folder.path().to_owned(), files_data_set::Options::default());
        self.folders.push(folder);
        Ok(Arc::new(store))
    }
}

/// A program on this machine that loads the set's RDB.
fn redis_kind(name: DataSetName, store: &str, evidence: &Evidence) -> Result<RedisKind> {
    let kinds = [RedisKind::Redis, RedisKind::NewestRedis, RedisKind::Valkey];
    let found: Vec<_> = kinds.into_iter().filter_map(|kind| Some((kind, kind.version()?))).collect();
    let is_valkey = |kind| kind == RedisKind::Valkey;
    if let Some((kind, _)) = found.iter().find(|(kind, version)| redis_data_set::loads(evidence, is_valkey(*kind), version)) {
        return Ok(*kind);
    }
    let product = |kind| if is_valkey(kind) { "Valkey" } else { "Redis" };
    let mut here: Vec<String> = found.iter().map(|(kind, version)| format!("{} {version}", product(*kind))).collect();
    here.dedup();
    let here = if here.is_empty() { "no program redis-server or valkey-server".to_owned() } else { here.join(", ") };
    let rdb = evidence.facts.get("rdb-version").map_or("unknown", String::as_str);
    Err(Error::refused(format!("{name} is of {store} (RDB version {rdb}), which nothing on this machine loads: there is {here}")).hint(
        "Install redis-server of that version or a newer one (for a set of Valkey: valkey-server) so that it is on the PATH; `--only` rehearses the other data sets.",
    ))
}

fn run(command: &mut std::process::Command, what: &str) -> Result<()> {
    let output = command.output().map_err(|error| Error::failed(format!("failed to {what}")).because(error))?;
    if output.status.success() {
        return Ok(());
    }
    Err(Error::failed(format!("failed to {what}: {}", String::from_utf8_lossy(&output.stderr).trim())))
}

/// Nobody writes to a throw-away server.
struct NoWriters;

impl Writers for NoWriters {
    fn note(&self, _context: &Context, _data_sets: &[DataSetName]) -> Result<Noted> {
        Ok(Noted(serde_json::Value::Null))
    }
    fn stop(&self, _context: &Context, _noted: &Noted) -> Result<()> {
        Ok(())
    }
    fn start(&self, _context: &Context, _noted: &Noted, _group: WriterGroup) -> Result<()> {
        Ok(())
    }
    fn release(&self, _context: &Context, _noted: &Noted) -> Result<()> {
        Ok(())
    }
    fn stopped(&self, _context: &Context) -> Result<Option<bool>> {
        Ok(Some(true))
    }
    fn can_stop(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_set_of_redis_is_rehearsed_by_a_program_that_loads_it() {
        let kind = |store: &str, version: &str| {
            let evidence = Evidence { facts: [("rdb-version".to_owned(), version.to_owned())].into(), ..Evidence::default() };
            redis_kind(DataSetName::BackendRedis, store, &evidence)
        };
        assert_eq!(kind("Redis 6.2.14", "9").unwrap(), RedisKind::Redis);
        assert_eq!(kind("Redis 7.0.15", "10").unwrap(), RedisKind::Redis);
        assert_eq!(kind("Redis 8.0.6", "12").unwrap(), RedisKind::NewestRedis);
        assert_eq!(kind("Valkey 9.1.2", "80").unwrap(), RedisKind::Valkey);
        let error = kind("Redis 9.9.9", "79").unwrap_err();
        assert_eq!(error.class(), plan::Class::Refused);
        let told = format!("{error:?}");
        assert!(told.contains("Redis 9.9.9 (RDB version 79)") && told.contains("there is Redis 7"), "{told}");
    }
}
