//! Compares a million applications (or as many as are said) with their keys, five for each, and prints time and peak memory: `cargo run --release -p threescale --example million-applications`.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement")]

use std::time::Instant;

use threescale::verify::{Atoms, Backend, Look, Spill, System, TABLES, Veil, compare};

const SERVICES: u64 = 1000;

fn main() {
    let applications: u64 = std::env::args().nth(1).map_or(1_000_000, |count| count.parse().unwrap());
    let begin = Instant::now();
    let room = || tempfile::tempfile().map(|file| Box::new(file) as Box<dyn Spill>);
    let (veil, held) = (Veil::new([7; 16]), 48 << 20);
    let mut atoms = Atoms::new(&room, held);
    let mut system = System::new(veil, &room, held);
    TABLES.iter().for_each(|wanted| system.table(wanted.table));
    let mut row = |table: &str, cells: &[&str]| {
        let cells: Vec<Option<&[u8]>> = cells.iter().map(|cell| (!cell.is_empty()).then_some(cell.as_bytes())).collect();
        system.row(table, &cells, &mut atoms).unwrap();
    };
    row("accounts", &["2", "1", "", "approved", ""]);
    for service in 1..=SERVICES {
        let service = service.to_string();
        row("services", &[&service, "2", "published", "1", "0", ""]);
        row("plans", &[&service, "Basic", &service, "Service"]);
        row("metrics", &[&service, "hits", "", "Service", &service, ""]);
    }
    for application in 0..applications {
        let (id, service) = ((application + 1).to_string(), (application % SERVICES + 1).to_string());
        let account = if application == 0 { "2" } else { "9" };
        row(
            "cinstances",
            &[&id, &service, account, &service, &format!("key-{application}"), &format!("app-{application}"), "live", "Cinstance", ""],
        );
    }
    let known = system.finish(&mut atoms).unwrap();
    println!("{applications} applications of System: {:.1} s", begin.elapsed().as_secs_f64());
    let mut backend = Backend::new(veil, &known);
    let mut keys = 0_u64;
    let mut key = |key: &str, pieces: &mut dyn Iterator<Item = String>| {
        keys += 1;
        backend.begin(key.as_bytes(), &mut atoms);
        if backend.wants(key.as_bytes()) {
            pieces.for_each(|piece| backend.piece(piece.as_bytes(), &mut atoms));
        }
        backend.ends().unwrap();
    };
    let one = |text: &str| std::iter::once(text.to_owned());
    key("service/provider_key:key-0/ids", &mut (1..=SERVICES).map(|service| service.to_string()));
    key("services_set", &mut (1..=SERVICES).map(|service| service.to_string()));
    for service in 1..=SERVICES {
        key(&format!("service/id:{service}/provider_key"), &mut one("key-0"));
        key(&format!("service/id:{service}/backend_version"), &mut one("1"));
        key(&format!("service/id:{service}/referrer_filters_required"), &mut one("0"));
        key(&format!("metrics/service_id:{service}/ids"), &mut one(&service.to_string()));
        key(&format!("metric/service_id:{service}/id:{service}/name"), &mut one("hits"));
        key(&format!("metric/service_id:{service}/name:hits/id"), &mut one(&service.to_string()));
        let of_service = (0..applications).filter(|application| application % SERVICES + 1 == service);
        key(&format!("service_id:{service}/applications"), &mut of_service.map(|application| format!("app-{application}")));
    }
    for application in 0..applications {
        let service = application % SERVICES + 1;
        let base = format!("application/service_id:{service}/id:app-{application}");
        key(&format!("{base}/state"), &mut one("active"));
        key(&format!("{base}/plan_id"), &mut one(&service.to_string()));
        key(&format!("{base}/plan_name"), &mut one("Basic"));
        key(&format!("application/service_id:{service}/key:key-{application}/id"), &mut one(&format!("app-{application}")));
        key(&format!("stats/{{service:{service}}}/cinstance:app-{application}/metric:{service}/eternity"), &mut one("5"));
    }
    println!("{keys} keys of Backend: {:.1} s", begin.elapsed().as_secs_f64());
    let report = compare(atoms, &known, &backend, false, Look::new(&room, held)).and_then(|look| look.report(20)).unwrap();
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or_default();
    println!(
        "{} applications compared, {} kinds of difference: {:.1} s, {peak}",
        report.applications,
        report.kinds.len(),
        begin.elapsed().as_secs_f64()
    );
}
