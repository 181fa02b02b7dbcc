//! System against zync's database and the Routes: a small installation as zync's and porta's sources have it, with disagreements of every kind, each found once.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::io::{self, Cursor};

use plan::ports::ReadRoute;
use threescale::verify::zync::{Gateways, ZYNC_STATES, ZYNC_TABLES, Zync, judge};
use threescale::verify::{Counted, Look, Rank, Report, Routes, Spill, TABLES};

fn room() -> io::Result<Box<dyn Spill>> {
    Ok(Box::new(Cursor::new(Vec::new())))
}

/// So little that all is spilled over and over.
const HELD_MAX_BYTES: usize = 300;

/// Rows as `column=value` of a table; what is not said is NULL.
type Row = (&'static str, Vec<(&'static str, String)>);

fn row(table: &'static str, cells: &str) -> Row {
    let split = |cell: &str| {
        let (name, value) = cell.split_once('=').unwrap();
        (Box::leak(name.to_owned().into_boxed_str()) as &'static str, value.to_owned())
    };
    (table, cells.split(' ').map(split).collect())
}

struct World {
    system: Vec<Row>,
    zync: Vec<Row>,
    routes: Vec<(&'static str, bool, bool)>,
    without: Vec<&'static str>,
}

/// The master (1), a tenant (2) with a hosted service (10, proxy 20), one with OpenID Connect that stands elsewhere (11, proxy 21) with application 30, and one that
/// stands elsewhere (12, proxy 22); a suspended tenant (3) with service 13, proxy 23.
fn agreed() -> World {
    let system = [
        ("accounts", "id=1 provider=1 master=1 state=approved domain=master.example self_domain=master.example"),
        ("accounts", "id=2 provider=t state=approved domain=Two.example self_domain=two-admin.example"),
        ("accounts", "id=3 provider=1 state=suspended domain=three.example self_domain=three-admin.example"),
        ("accounts", "id=4 provider=0 state=approved domain=buyer.example"),
        ("services", "id=1 account_id=1 state=incomplete backend_version=1 deployment_option=hosted"),
        ("services", "id=10 account_id=2 state=published backend_version=1 deployment_option=hosted"),
        ("services", "id=11 account_id=2 state=published backend_version=oauth deployment_option=self_managed"),
        ("services", "id=12 account_id=2 state=published backend_version=2 deployment_option=self_managed"),
        ("services", "id=13 account_id=3 state=published backend_version=1 deployment_option=hosted"),
        // The master's own API has no Route of zync's, and zync may not know it.
        ("proxies", "id=19 service_id=1 endpoint=https://api-m.example:443"),
        ("proxies", "id=20 service_id=10 endpoint=https://api.example:443 sandbox_endpoint=https://staging.example:443"),
        ("proxies", "id=21 service_id=11 oidc_issuer_endpoint=https://id:secret@sso.example/auth"),
        ("proxies", "id=22 service_id=12 endpoint=https://own.example"),
        ("proxies", "id=23 service_id=13 endpoint=https://old.example"),
        ("cinstances", "id=30 service_id=11 type=Cinstance"),
        ("cinstances", "id=31 service_id=10 type=Cinstance"),
        ("cinstances", "id=32 service_id=11 type=AccountContract"),
    ];
    let zync = [
        ("tenants", "id=1"),
        ("tenants", "id=2"),
        ("providers", "id=1"),
        ("providers", "id=2"),
        ("proxies", "id=20 service_id=10"),
        ("proxies", "id=21 service_id=11"),
        ("applications", "id=30 service_id=11"),
        ("models", "id=101 record_type=Provider record_id=1"),
        ("models", "id=102 record_type=Provider record_id=2"),
        ("models", "id=120 record_type=Proxy record_id=20"),
        ("models", "id=121 record_type=Proxy record_id=21"),
        ("models", "id=111 record_type=Service record_id=11"),
        ("models", "id=130 record_type=Application record_id=30"),
        ("entries", r#"id=1 model_id=101 data={"id":1,"domain":"master.example","admin_domain":"master.example"}"#),
        ("entries", r#"id=2 model_id=102 data={"id":2,"domain":"two.example","admin_domain":"two-admin.example"}"#),
        // What is older does not count.
        ("entries", r#"id=8 model_id=120 data={"endpoint":"https://former.example"}"#),
        (
            "entries",
            r#"id=9 model_id=120 data={"endpoint":"https://api.example:443","sandbox_endpoint":"https://staging.example:443","deployment_option":"hosted"}"#,
        ),
        ("entries", r#"id=10 model_id=121 data={"deployment_option":"self_managed"}"#),
        // Of a service nothing is asked.
        ("entries", "id=11 model_id=111"),
        ("entries", r#"id=12 model_id=130 data={"client_id":"x"}"#),
        ("integrations", "id=1 type=Integration::Keycloak model_id=111 state=active"),
        ("integrations", "id=2 type=Integration::Kubernetes model_id=120 state=active"),
        ("integrations", "id=3 type=Integration::Kubernetes model_id=102 state=disabled"),
        ("integration_states", "model_id=120 integration_id=2 success=t finished_at=x"),
        // Under way; and of what is switched off.
        ("integration_states", "model_id=111 integration_id=1 success=f"),
        ("integration_states", "model_id=102 integration_id=3 success=f finished_at=x"),
        ("que_jobs", "id=1 job_class=X error_count=0"),
        ("que_jobs", "id=2 job_class=X error_count=3"),
        ("que_jobs", "id=3 job_class=X error_count=0 finished_at=x"),
    ];
    let all = |rows: &[(&'static str, &str)]| rows.iter().map(|(table, cells)| row(table, cells)).collect();
    World {
        system: all(&system),
        zync: all(&zync),
        routes: vec![
            ("master.example", false, true),
            ("two.example", false, true),
            ("TWO-admin.example", false, true),
            ("api.example", false, true),
            ("staging.example", false, true),
            ("somebody.else", false, false),
        ],
        without: Vec::new(),
    }
}

impl World {
    fn change(&mut self, table: &str, id: &str, column: &'static str, value: Option<&str>) {
        let is_it = |(name, cells): &&mut Row| *name == table && cells.contains(&("id", id.to_owned()));
        let (_, cells) = self.system.iter_mut().chain(&mut self.zync).find(is_it).unwrap();
        cells.retain(|(name, _)| *name != column);
        cells.extend(value.map(|value| (column, value.to_owned())));
    }

    fn remove(&mut self, table: &str, id: &str) {
        let before = self.system.len() + self.zync.len();
        let stays = |(name, cells): &Row| *name != table || !cells.contains(&("id", id.to_owned()));
        // Both have a table of this name: the one that has the row.
        self.system.retain(stays);
        self.zync.retain(stays);
        assert!(self.system.len() + self.zync.len() < before);
    }

    fn add(&mut self, table: &'static str, cells: &str) {
        let row = row(table, cells);
        if ["accounts", "cinstances"].contains(&table) { self.system.push(row) } else { self.zync.push(row) }
    }

    fn look(&self) -> Report {
        let mut gateways = Gateways::new(&room, HELD_MAX_BYTES);
        let mut zync = Zync::new(&room, HELD_MAX_BYTES);
        let is_there = |table: &&str| !self.without.contains(table);
        TABLES.iter().map(|wanted| wanted.table).filter(is_there).for_each(|table| gateways.table(table));
        ZYNC_TABLES.iter().chain([&ZYNC_STATES]).map(|wanted| wanted.table).filter(is_there).for_each(|table| zync.table(table));
        let columns =
            |wanted: &[threescale::verify::Wanted], table: &str| wanted.iter().find(|wanted| wanted.table == table).unwrap().columns;
        let cells = |columns: &[&str], row: &Row| -> Vec<Option<String>> {
            columns.iter().map(|column| row.1.iter().find(|(name, _)| name == column).map(|(_, value)| value.clone())).collect()
        };
        fn bytes(cells: &[Option<String>]) -> Vec<Option<&[u8]>> {
            cells.iter().map(|cell| cell.as_ref().map(String::as_bytes)).collect()
        }
        // In any order.
        for row in self.system.iter().rev() {
            gateways.row(row.0, &bytes(&cells(columns(&TABLES, row.0), row))).unwrap();
        }
        let of_zync = [&ZYNC_TABLES[..], &[ZYNC_STATES]].concat();
        for row in self.zync.iter().rev() {
            zync.row(row.0, &bytes(&cells(columns(&of_zync, row.0), row))).unwrap();
        }
        let mut look = Look::new(&room, HELD_MAX_BYTES);
        let mut routes = Routes::new(&room, HELD_MAX_BYTES);
        judge(gateways, Some(zync.settle(&room).unwrap()), &room, &mut look, &mut |host, whose| routes.address(host, whose)).unwrap();
        for (host, is_refused, is_of_zync) in &self.routes {
            routes.route(&ReadRoute { host: host.as_bytes(), is_refused: *is_refused, is_of_zync: *is_of_zync }).unwrap();
        }
        assert!(routes.are_of_zync());
        routes.compare(&mut look).unwrap();
        look.report(9).unwrap()
    }
}

/// Differences with what is shown of each.
fn told(report: &Report) -> BTreeMap<&'static str, Vec<(String, String)>> {
    let shown = |found: &threescale::verify::Found| found.examples.iter().map(|one| (one.service.clone(), one.detail.clone())).collect();
    report.kinds.iter().map(|(kind, found)| (kind.code(), shown(found))).collect()
}

fn only(kind: &'static str, service: &str, detail: &str) -> BTreeMap<&'static str, Vec<(String, String)>> {
    BTreeMap::from([(kind, vec![(service.to_owned(), detail.to_owned())])])
}

#[test]
fn an_installation_that_agrees_has_no_differences_and_is_counted() {
    let report = agreed().look();
    assert_eq!(told(&report), BTreeMap::new());
    let zync = report.zync.unwrap();
    assert_eq!((zync.tenants, zync.proxies, zync.applications, zync.jobs, zync.jobs_failing), (2, 2, 1, 2, 1));
    assert_eq!(report.addresses, Some(5), "the master's domain once, no address of the suspended tenant, none of what stands elsewhere");
}

/// Each change makes one difference, and no other.
#[test]
fn every_disagreement_with_zync_is_found_once_and_ranked() {
    type Change = fn(&mut World);
    let cases: [(&str, &str, &str, Change); 16] = [
        ("zync-tenant-missing", "", "tenant 2", |world| world.remove("models", "102")),
        ("zync-tenant-missing", "", "tenant 1", |world| world.remove("entries", "1")),
        ("zync-proxy-missing", "10", "proxy 20", |world| world.remove("models", "120")),
        ("zync-proxy-missing", "11", "proxy 21", |world| world.remove("models", "121")),
        ("zync-application-missing", "11", "row of cinstances 30", |world| world.remove("models", "130")),
        ("zync-took-away", "", "tenant 2", |world| world.change("entries", "2", "data", None)),
        ("zync-took-away", "10", "proxy 20", |world| world.change("entries", "9", "data", Some("null"))),
        ("zync-took-away", "10", "proxy 20", |world| {
            world.change("entries", "9", "data", Some(r#"{"endpoint":"https://api.example","deployment_option":"self_managed"}"#));
        }),
        ("zync-address-differs", "10", "proxy 20: former.example instead of api.example", |world| {
            world.change("entries", "8", "id", Some("99"));
        }),
        ("zync-address-differs", "", "tenant 2: two-admin.example instead of new-admin.example", |world| {
            world.change("accounts", "2", "self_domain", Some("new-admin.example"));
            world.routes[2].0 = "new-admin.example";
        }),
        ("zync-unknown-tenant", "", "tenant 8", |world| {
            world.add("tenants", "id=8");
            world.add("models", "id=108 record_type=Provider record_id=8");
            world.add("entries", r#"id=20 model_id=108 data={"domain":"eight.example"}"#);
        }),
        ("zync-unknown-proxy", "90", "proxy 28", |world| {
            world.add("proxies", "id=28 service_id=90");
            world.add("models", "id=128 record_type=Proxy record_id=28");
            world.add("entries", "id=20 model_id=128 data={}");
        }),
        ("zync-unknown-application", "11", "row of cinstances 39", |world| {
            world.add("applications", "id=39 service_id=11");
            world.add("models", "id=139 record_type=Application record_id=39");
            world.add("entries", "id=20 model_id=139 data={}");
        }),
        // zync never deletes a row: that is how it remembers what it was told.
        ("zync-leftover", "10", "row of cinstances 38", |world| world.add("applications", "id=38 service_id=10")),
        ("zync-failed", "10", "proxy 20", |world| world.add("integration_states", "model_id=120 integration_id=2 success=f finished_at=x")),
        ("zync-job-given-up", "", "job 4, UpdateJob", |world| {
            world.add("que_jobs", r#"id=4 job_class=Wrapper error_count=16 expired_at=x args=[{"job_class":"UpdateJob"}]"#);
        }),
    ];
    for (kind, service, detail, change) in cases {
        let mut world = agreed();
        change(&mut world);
        let report = world.look();
        assert_eq!(told(&report), only(kind, service, detail));
        let rank = if kind == "zync-leftover" { Rank::Note } else { Rank::Drift };
        let found = report.kinds.keys().next().unwrap();
        assert_eq!((found.rank(), report.count(rank)), (rank, 1), "{kind}");
        assert!(!found.meaning().is_empty() && (rank == Rank::Note || found.repair().is_some()), "{kind}");
    }
}

#[test]
fn what_nobody_serves_is_not_missed() {
    // A service that is deleted, one that stands elsewhere without OpenID Connect, and one whose issuer is not set.
    let mut world = agreed();
    world.remove("models", "120");
    world.change("services", "10", "state", Some("deleted"));
    world.routes.retain(|(host, ..)| !["api.example", "staging.example"].contains(host));
    world.remove("models", "130");
    world.change("proxies", "21", "oidc_issuer_endpoint", Some(""));
    world.remove("models", "121");
    assert_eq!(told(&world.look()), BTreeMap::new());
    // A release without a table of proxies, or of applications, in the way that this program knows.
    let mut world = agreed();
    world.without = vec!["applications"];
    world.remove("models", "130");
    assert_eq!(told(&world.look()), BTreeMap::new());
    let mut world = agreed();
    world.without = vec!["integration_states"];
    assert_eq!(told(&world.look()), BTreeMap::new());
}

#[test]
fn a_database_that_is_not_zyncs_is_refused() {
    for missing in ["tenants", "models", "proxies", "entries"] {
        let mut zync = Zync::new(&room, HELD_MAX_BYTES);
        ZYNC_TABLES.iter().filter(|wanted| wanted.table != missing).for_each(|wanted| zync.table(wanted.table));
        let error = zync.settle(&room).err().unwrap();
        assert_eq!(error.class(), plan::Class::Refused);
        assert!(error.to_string().contains(missing), "{error}");
    }
}

#[test]
fn every_address_wants_a_route_that_a_router_admits() {
    let mut world = agreed();
    world.routes[3].1 = true;
    world.routes.remove(4);
    world.routes.push(("left.example", false, true));
    // Two Routes of an address, of which one is admitted.
    world.routes.push(("two.example", true, false));
    let wanted: BTreeMap<_, _> = [
        ("route-missing", "staging.example (service 10)"),
        ("route-refused", "api.example (service 10)"),
        ("unknown-route", "left.example"),
    ]
    .map(|(kind, detail)| (kind, vec![(String::new(), detail.to_owned())]))
    .into();
    assert_eq!(told(&world.look()), wanted);
}

#[test]
fn an_index_that_has_fewer_lacks_some_and_releases_may_differ() {
    let look = |has, least, most| {
        let mut look = Look::new(&room, HELD_MAX_BYTES);
        Counted { name: "cms_page_core", has, least, most }.compare(&mut look).unwrap();
        let report = look.report(9).unwrap();
        assert_eq!(report.indices, Some(1));
        told(&report)
    };
    for has in [5, 6, 7] {
        assert_eq!(look(has, 5, 7), BTreeMap::new());
    }
    assert_eq!(look(4, 5, 7), only("search-lacks", "", "cms_page_core: 4 documents for 5 rows"));
    assert_eq!(look(8, 5, 7), only("search-has-more", "", "cms_page_core: 8 documents for 7 rows"));
}
