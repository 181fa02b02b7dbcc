//! What the single writers do, each like a process of 3scale: listener and worker of Backend, Sidekiq, zync.

use plan::Result;
use plan::error::During;
use plan::ids::DataSetName;

use super::CALL_LIMIT;
use super::system::{Files, Provider};
use crate::data::Shape;
use crate::installation::{Installation, ZYNC_DATABASE};
use crate::link::Link;

/// One writer.
pub(super) trait Task: Send {
    /// Writes once, connecting when needed; says how many writes the store confirmed.
    fn write(&mut self, number: u64) -> Result<u64>;

    /// Lets the connection go.
    fn disconnect(&mut self);
}

pub(super) fn all(installation: &Installation) -> Vec<(DataSetName, Box<dyn Task>)> {
    let redis = |server: &crate::Redis, db, run| {
        let password = server.password().to_owned();
        Box::new(RedisTask { port: server.port(), password, db, services: installation.shape().services, link: None, run })
    };
    vec![
        (DataSetName::SystemDatabase, Box::new(Provider::new(installation))),
        (DataSetName::SystemStorage, Box::new(Files::new(installation))),
        (
            DataSetName::ZyncDatabase,
            Box::new(Zync { port: installation.postgres.port(), password: installation.postgres.password().to_owned(), client: None }),
        ),
        (DataSetName::BackendRedis, redis(&installation.backend_redis, 0, listener)),
        (DataSetName::BackendRedis, redis(&installation.backend_redis, 1, queues)),
        (DataSetName::SystemRedis, redis(&installation.system_redis, 1, sidekiq)),
    ]
}

type RunRedis = fn(&mut Link, u64, u64) -> Result<u64>;

struct RedisTask {
    port: u16,
    password: String,
    db: u32,
    services: u64,
    link: Option<Link>,
    run: RunRedis,
}

impl Task for RedisTask {
    fn write(&mut self, number: u64) -> Result<u64> {
        if self.link.is_none() {
            self.link = Some(Link::connect(self.port, Some(&self.password), self.db, CALL_LIMIT)?);
        }
        match &mut self.link {
            Some(link) => (self.run)(link, number, 2 + number % self.services),
            None => Ok(0),
        }
    }

    fn disconnect(&mut self) {
        self.link = None;
    }
}

/// Counts usage, raises events, marks traffic.
fn listener(link: &mut Link, number: u64, service: u64) -> Result<u64> {
    let base = format!("stats/{{service:{service}}}/metric:{}", Shape::metric(service, 0));
    link.push(&["INCR", &format!("{base}/eternity")])?;
    link.push(&["INCR", &format!("{base}/day:20260106")])?;
    link.push(&["INCRBY", &format!("{base}/hour:202601061"), &(number % 9 + 1).to_string()])?;
    link.push(&["SET", &format!("{base}/minute:202601061001"), &number.to_string(), "EX", "180"])?;
    link.push(&["LPUSH", &format!("errors/service_id:{service}"), &format!("{{\"code\":\"metric_invalid\",\"n\":{number}}}")])?;
    link.push(&["LTRIM", &format!("errors/service_id:{service}"), "0", "999"])?;
    if number.is_multiple_of(10) {
        let id = link.call(&["INCR", "events/id"])?.text();
        link.push(&["ZADD", "events/queue", &id, &format!("{{\"id\":{id},\"type\":\"alert\"}}")])?;
        link.push(&["ZREMRANGEBYRANK", "events/queue", "0", "-200"])?;
    }
    link.finish()?;
    Ok(6)
}

/// Pushes jobs and takes them off.
fn queues(link: &mut Link, number: u64, service: u64) -> Result<u64> {
    let job = format!(
        "{{\"class\":\"ThreeScale::Backend::Transactor::ReportJob\",\"args\":[\"{service}\",{{\"0\":{{\"app_id\":\"app-a1\",\"usage\":{{\"hits\":{number}}}}}}},1767607200.0,{{}}]}}"
    );
    link.push(&["SADD", "resque:queues", "priority"])?;
    link.push(&["RPUSH", "resque:queue:priority", &job])?;
    if !number.is_multiple_of(4) {
        link.push(&["LPOP", "resque:queue:priority"])?;
    } else if number.is_multiple_of(64) {
        link.push(&["LTRIM", "resque:queue:priority", "-20", "-1"])?;
    }
    link.push(&["INCR", "resque:stat:processed"])?;
    link.finish()?;
    Ok(3)
}

fn sidekiq(link: &mut Link, number: u64, service: u64) -> Result<u64> {
    let job = format!(
        "{{\"class\":\"SphinxIndexationWorker\",\"args\":[\"Service\",{service}],\"queue\":\"default\",\"jid\":\"{number:024x}\",\"enqueued_at\":1767607200.0}}"
    );
    let process = "system-sidekiq-1:1:abcdef012345";
    link.push(&["SADD", "queues", "default"])?;
    link.push(&["LPUSH", "queue:default", &job])?;
    link.push(&["SADD", "processes", process])?;
    link.push(&["HSET", process, "beat", &number.to_string(), "busy", "0", "quiet", "false"])?;
    link.push(&["EXPIRE", process, "60"])?;
    if !number.is_multiple_of(4) {
        link.push(&["RPOP", "queue:default"])?;
    } else if number.is_multiple_of(64) {
        link.push(&["LTRIM", "queue:default", "0", "20"])?;
    }
    link.push(&["INCR", "stat:processed"])?;
    if number.is_multiple_of(50) {
        link.push(&["LPUSH", "webhooks:failures:provider-2", &format!("{{\"id\":\"live-{number}\"}}")])?;
    }
    link.finish()?;
    Ok(5)
}

struct Zync {
    port: u16,
    password: String,
    client: Option<postgres::Client>,
}

impl Task for Zync {
    fn write(&mut self, number: u64) -> Result<u64> {
        if self.client.is_none() {
            let mut config = postgres::Config::new();
            config
                .host("127.0.0.1")
                .port(self.port)
                .user("postgres")
                .password(&self.password)
                .dbname(ZYNC_DATABASE)
                .connect_timeout(CALL_LIMIT);
            // The client has no limit of its own for a call.
            config.tcp_user_timeout(CALL_LIMIT).options("-c statement_timeout=5s");
            self.client = Some(config.connect(postgres::NoTls).during(|| "connect to zync".to_owned())?);
        }
        let Some(client) = &mut self.client else { return Ok(0) };
        let statements = format!(
            "INSERT INTO entries (data, tenant_id, model_id, created_at, updated_at) SELECT '{{\"live\": {number}}}', tenant_id, id, now(), now() FROM models ORDER BY id LIMIT 1;
             UPDATE integrations SET updated_at = now() WHERE id = 1;
             INSERT INTO que_jobs (job_class, args) VALUES ('ApplicationJob', '[{number}]');
             DELETE FROM que_jobs WHERE id = (SELECT min(id) FROM que_jobs WHERE error_count = 0 AND id > 100 HAVING count(*) > 20);"
        );
        client.batch_execute(&statements).during(|| "write to zync".to_owned())?;
        Ok(3)
    }

    fn disconnect(&mut self) {
        self.client = None;
    }
}
