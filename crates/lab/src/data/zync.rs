//! The zync database: schema shaped like zync's, rows by `COPY`.

use std::io::Write;

use plan::Result;
use plan::error::During;
use plan::ids::DataSetName;
use plan::ports::{Event, Verb, Watch};
use postgres::Client;

use super::calendar::NOW;
use super::row::Rows;
use super::shape::Shape;
use crate::Postgres;

const PORTION_BYTES: usize = 1 << 20;

/// Entries: zync's log of what it fetched, and most of its bytes.
fn entries(shape: &Shape) -> u64 {
    shape.size_bytes / 30_000 + 50
}

/// Connects through the socket.
pub(crate) fn connect(server: &Postgres, database: &str) -> Result<Client> {
    let mut config = postgres::Config::new();
    config.host_path(server.socket()).port(server.port()).user("postgres").password(server.password()).dbname(database);
    config.connect(postgres::NoTls).during(|| "connect to the lab's PostgreSQL".to_owned())
}

/// Makes the database and fills it.
pub(crate) fn load(server: &Postgres, database: &str, shape: &Shape, watch: &dyn Watch) -> Result<()> {
    connect(server, "postgres")?
        .batch_execute(&format!("CREATE DATABASE \"{database}\""))
        .during(|| format!("create database {database}"))?;
    let mut client = connect(server, database)?;
    client.batch_execute(include_str!("zync/schema.sql")).during(|| "make zync's schema".to_owned())?;
    let mut copy = |table: &str, count: u64, row: &dyn Fn(u64, &mut Rows)| copy(&mut client, table, count, row, watch);
    // The master is a tenant like the others.
    copy("tenants", shape.providers + 1, &|n, row| {
        row.plain(n)
            .plain(format_args!("https://provider-{n}-admin.example.com/über"))
            .plain(shape.random("zync", n).hex(64))
            .made(NOW)
            .end();
    })?;
    copy("providers", shape.providers + 1, &|n, row| row.plain(n).plain(n).made(NOW).end())?;
    copy("services", shape.services, &|n, row| row.plain(n + 1).plain(shape.provider_of_service(n + 1)).made(NOW).end())?;
    copy("proxies", shape.services, &|n, row| row.plain(n).plain(shape.provider_of_service(n + 1)).plain(n + 1).made(NOW).end())?;
    let own = shape.providers + 1;
    copy("applications", shape.applications - own, &|n, row| {
        let application = shape.application(own + n);
        row.plain(application.id).plain(shape.provider_of_service(application.service)).plain(application.service).made(NOW).end();
    })?;
    copy("models", models(shape), &|n, row| {
        let Model { tenant, kind, record } = model(shape, n);
        row.plain(n).plain(tenant).text(kind).plain(record).made(NOW).end();
    })?;
    copy("entries", entries(shape) + models(shape), &|n, row| entry(shape, n, row))?;
    copy("clients", shape.services, &|n, row| {
        row.plain(n)
            .plain(n + 1)
            .plain(shape.provider_of_service(n + 1))
            .text(&shape.application(shape.providers + 1 + n).application_id())
            .made(NOW)
            .end();
    })?;
    copy("integrations", shape.providers, &|n, row| {
        row.plain(n).text("{\"endpoint\": \"https://user:secret@sso.example.com/auth\"}").text("Integration::Keycloak").plain(n + 1).null();
        row.text(if n.is_multiple_of(2) { "disabled" } else { "active" }).made(NOW).end();
    })?;
    copy("integration_states", shape.providers, &|n, row| {
        row.plain(n).moment(NOW).moment(NOW).plain("t").plain(n).plain(entries(shape) + n).plain(n).made(NOW).end();
    })?;
    copy("update_states", models(shape), &|n, row| row.plain(n).moment(NOW).moment(NOW).plain("t").plain(n).made(NOW).end())?;
    copy("que_jobs", 20, &|n, row| {
        row.plain(100)
            .plain("2026-01-05 08:00:00+00")
            .plain(n)
            .text("ApplicationJob")
            .plain(n % 4)
            .text("first line\nsecond\ttab")
            .text("default")
            .null()
            .null()
            .null();
        row.text("[{\"job_class\": \"ProcessEntryJob\"}]").text("{}").end();
    })?;
    copy("que_lockers", 1, &|_, row| row.plain(4711).plain(6).plain(1).text("zync-que-1").text("{default}").plain("t").end())?;
    client.batch_execute(include_str!("zync/after.sql")).during(|| "set zync's sequences".to_owned())
}

/// What zync keeps of System's things, with the history of each.
struct Model {
    tenant: u64,
    kind: &'static str,
    record: u64,
}

/// Proxies, services, and tenants with the master.
const fn models(shape: &Shape) -> u64 {
    shape.services * 2 + shape.providers + 1
}

const fn model(shape: &Shape, n: u64) -> Model {
    if n <= shape.services {
        return Model { tenant: shape.provider_of_service(n + 1), kind: "Proxy", record: n };
    }
    if n <= shape.services * 2 {
        let service = n - shape.services + 1;
        return Model { tenant: shape.provider_of_service(service), kind: "Service", record: service };
    }
    let provider = n - shape.services * 2;
    Model { tenant: provider, kind: "Provider", record: provider }
}

/// What System said of a model the last time: addresses as they stand in System's rows. Of services nothing is asked.
fn said(model: &Model) -> Option<String> {
    let Model { kind, record, .. } = model;
    match *kind {
        "Proxy" => {
            let service = record + 1;
            Some(format!(
                "{{\"service_id\": {service}, \"endpoint\": \"https://api-{service}-apicast-production.example.com:443\", \
                 \"sandbox_endpoint\": \"https://api-{service}-apicast-staging.example.com:443\", \"deployment_option\": \"hosted\"}}"
            ))
        }
        "Provider" => Some(format!(
            "{{\"id\": {record}, \"domain\": \"provider-{record}.example.com\", \"admin_domain\": \"provider-{record}-admin.example.com\"}}"
        )),
        _ => None,
    }
}

fn entry(shape: &Shape, n: u64, row: &mut Rows) {
    row.plain(n);
    if n > entries(shape) {
        let id = n - entries(shape);
        let model = model(shape, id);
        match said(&model) {
            Some(said) => row.text(&said),
            None => row.null(),
        };
        row.plain(model.tenant).plain(id).made(NOW).end();
        return;
    }
    let mut random = shape.random("entries", n);
    let model = 1 + random.below(shape.services);
    if n.is_multiple_of(20) {
        row.null();
    } else {
        let mut text = String::new();
        random.words(300, &mut text);
        row.text(&format!("{{\"id\": {model}, \"endpoint\": \"https://api-{model}.example.com\", \"secret\": \"{}\", \"note\": \"naïve ✓ \\u0041 {text}\"}}", random.hex(32)));
    }
    row.plain(shape.provider_of_service(model + 1)).plain(model).made(NOW).end();
}

fn copy(client: &mut Client, table: &str, count: u64, row: &dyn Fn(u64, &mut Rows), watch: &dyn Watch) -> Result<()> {
    let mut writer = client.copy_in(&format!("COPY {table} FROM STDIN")).during(|| format!("copy into {table}"))?;
    let (mut rows, mut first) = (Rows::default(), 1);
    for number in 1..=count {
        row(number, &mut rows);
        if rows.len() > PORTION_BYTES || number == count {
            let bytes = rows.take();
            writer.write_all(&bytes).during(|| format!("copy into {table}"))?;
            let items = number + 1 - first;
            watch.see(Event::Advance { data_set: DataSetName::ZyncDatabase, verb: Verb::Stage, bytes: bytes.len() as u64, items });
            first = number + 1;
        }
    }
    writer.finish().during(|| format!("copy into {table}")).map(drop)
}
