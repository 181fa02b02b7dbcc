//! The tables of products: services, plans, metrics, applications and their credentials.

use super::{Table, table};
use crate::data::calendar::NOW;
use crate::data::row::Rows;
use crate::data::shape::{Shape, backend_version};

pub(super) const TABLES: &[Table] = &[
    table(
        "schema_migrations",
        15,
        |_| 400,
        |_, n, row| row.plain(format_args!("20{:02}{:02}{:02}{n:06}", 9 + n / 25, n % 12 + 1, n % 28 + 1)).end(),
    ),
    table("ar_internal_metadata", 60, |_| 1, |_, _, row| row.text("environment").text("production").made(NOW).end()),
    table("services", 600, Shape::all_services, service),
    table("proxies", 300, |shape| shape.services, proxy),
    table("plans", 130, |shape| shape.all_services() * 3, plan),
    table("metrics", 140, |shape| shape.all_services() * 4, metric),
    table("usage_limits", 80, |shape| shape.services * 3 * 2, usage_limit),
    table("features", 100, Shape::all_services, feature),
    table("features_plans", 40, |shape| shape.services * 6, features_plan),
    table("categories_services", 40, |shape| shape.services * 2, category),
    table("countries", 40, |_| 6, country),
    table("cinstances", 330, |shape| shape.applications, cinstance),
    table("application_keys", 90, |shape| shape.applications, application_key),
    table("referrer_filters", 80, |shape| shape.applications, referrer_filter),
    table("service_tokens", 120, Shape::all_services, service_token),
    table("access_tokens", 140, |shape| shape.providers + 1, access_token),
    table("alerts", 120, |shape| shape.applications / 20, alert),
];

/// Some rows of porta have no tenant, though a trigger would give them one when they are inserted again.
pub(super) const fn tenant(provider: u64, n: u64) -> Option<u64> {
    if provider == 1 || n.is_multiple_of(13) { None } else { Some(provider) }
}

fn service(shape: &Shape, n: u64, row: &mut Rows) {
    let provider = shape.provider_of_service(n);
    let mut description = String::from("line 1\nline 2\ttab\\n ");
    shape.random("services", n).words(400, &mut description);
    row.plain(n).plain(provider);
    if n == 1 {
        row.text("Master API").text("master_api")
    } else {
        row.plain(format_args!("Ünïcode API {n}")).plain(format_args!("api_{n}"))
    };
    if n.is_multiple_of(4) {
        row.null()
    } else {
        row.text(&description)
    };
    row.text("incomplete").text(backend_version(n));
    if n % 3 == 2 {
        row.text("---\n:web_buyer: [50, 100]\n:web_provider: [50, 80, 100]\n")
    } else {
        row.null()
    };
    row.plain(0).text("hosted").made(NOW - 40_000_000).plain_or_null(tenant(provider, n)).end();
}

fn proxy(shape: &Shape, n: u64, row: &mut Rows) {
    let service = n + 1;
    row.plain(n).plain(service);
    row.plain(format_args!("https://api-{service}-apicast-production.example.com:443"))
        .plain(format_args!("https://api-{service}-apicast-staging.example.com:443"));
    row.text("https://echo.example.com:443")
        .plain(shape.random("proxies", n).hex(32))
        .text("[{\"name\":\"apicast\",\"version\":\"builtin\",\"enabled\":true}]");
    // Its newest configuration, of the few rows that every size has.
    row.plain_or_null((n <= 5).then_some(n)).moment(NOW).plain(n % 7).null().made(NOW - 40_000_000);
    row.plain_or_null(tenant(shape.provider_of_service(service), n)).end();
}

fn plan(shape: &Shape, n: u64, row: &mut Rows) {
    let service = (n - 1) / 3 + 1;
    let (name, cost) = [("Basic", "9.99000001"), ("Größe L", "20.00000000"), ("Unlimited", "0.00000000")][(n % 3) as usize];
    row.plain(n)
        .plain(service)
        .text("Service")
        .text("ApplicationPlan")
        .text(name)
        .plain(format_args!("plan_{n}"))
        .plain(cost)
        .text("published");
    row.plain(n % 3).made(NOW - 39_000_000).plain_or_null(tenant(shape.provider_of_service(service), n)).end();
}

fn metric(shape: &Shape, n: u64, row: &mut Rows) {
    let (service, nth) = ((n - 1) / 4 + 1, (n - 1) % 4);
    row.plain(n).plain(service).plain(service).text("Service").text(METRICS[nth as usize]).text("Hits ✓").text("hit").null();
    row.plain_or_null((nth > 0).then(|| Shape::metric(service, 0))).made(NOW - 39_000_000);
    row.plain_or_null(tenant(shape.provider_of_service(service), n)).end();
}

/// System names of a service's metrics, in the order of [`Shape::metric`].
pub(crate) const METRICS: [&str; 4] = ["hits", "get_users", "post_orders", "bytes"];

/// `(service, plan, metric, period, value)` of a usage limit: two for each plan of the providers' services.
pub(crate) fn limit(n: u64) -> (u64, u64, u64, &'static str, u64) {
    let plan = (n - 1) / 2 + 4;
    let service = (plan - 1) / 3 + 1;
    let period = ["minute", "hour", "day", "week", "month", "year", "eternity"][(n % 7) as usize];
    (service, plan, Shape::metric(service, n % 2), period, [10, 100_000, 1 << 40, 0][(n % 4) as usize])
}

fn usage_limit(shape: &Shape, n: u64, row: &mut Rows) {
    let (service, plan, metric, period, value) = limit(n);
    row.plain(n).plain(metric).plain(plan).text("Plan").text(period).plain(value).made(NOW - 38_000_000);
    row.plain_or_null(tenant(shape.provider_of_service(service), n)).end();
}

fn feature(shape: &Shape, n: u64, row: &mut Rows) {
    // From id 0: a load without NO_AUTO_VALUE_ON_ZERO would give it another.
    row.plain(n - 1).plain(n).text("Service").text("Unlimited Greetings").plain(format_args!("feature_{n}")).plain(1).made(NOW);
    row.plain_or_null(tenant(shape.provider_of_service(n), n)).end();
}

fn features_plan(shape: &Shape, n: u64, row: &mut Rows) {
    // Each row twice: only counting tells them apart.
    let service = 2 + (n / 2) % shape.services;
    row.plain(Shape::plan(service, n / 2))
        .plain(service - 1)
        .text("ApplicationPlan")
        .plain_or_null(tenant(shape.provider_of_service(service), n / 2))
        .end();
}

fn category(shape: &Shape, n: u64, row: &mut Rows) {
    row.plain((n - 1) / shape.services)
        .plain(2 + (n - 1) % shape.services)
        .plain(["0.1", "-1.5e30", "3"][(n % 3) as usize])
        .plain(["0.30000000000000004", "-2.2250738585072014e-308"][(n % 2) as usize])
        .end();
}

fn country(_: &Shape, n: u64, row: &mut Rows) {
    // Bytes of latin1 in a table of latin1.
    let (code, name): (&str, &[u8]) = [
        ("DE", b"Deutschland".as_slice()),
        ("AT", b"\xd6sterreich"),
        ("ES", b"Espa\xf1a"),
        ("TR", b"T\xfcrkei"),
        ("CI", b"C\xf4te d'Ivoire"),
        ("AX", b"\xc5land"),
    ][(n - 1) as usize];
    row.plain(n).text(code).blob(name).text("EUR").plain("19.00").blob(if n.is_multiple_of(2) { b"\x01" } else { b"\0" }).end();
}

fn cinstance(shape: &Shape, n: u64, row: &mut Rows) {
    let application = shape.application(n);
    let mut random = shape.random("cinstances", n);
    let mut description = String::new();
    random.words(60, &mut description);
    row.plain(n)
        .plain(application.plan)
        .plain(application.account)
        .plain(application.service)
        .plain_or_null(application.user_key.as_deref());
    row.plain(application.application_id());
    if n.is_multiple_of(9) {
        row.text("Gesperrt ✗ Anwendung")
    } else {
        row.plain(format_args!("Developer's App {n}"))
    };
    row.text(&description).text(application.state).text("Cinstance");
    if application.has_traffic {
        row.moment(NOW - 7_000_000).moment(NOW - random.below(90_000).cast_signed())
    } else {
        row.null().null()
    };
    row.text("---\nnote: \"text\"\n").moment(NOW - 20_000_000).made(NOW - random.below(60_000_000).cast_signed());
    row.plain_or_null(tenant(shape.provider_of_service(application.service), n)).end();
}

fn application_key(shape: &Shape, n: u64, row: &mut Rows) {
    let application = shape.application(n);
    if let Some(key) = application.key(shape) {
        row.plain(n)
            .plain(n)
            .text(&key)
            .made(NOW - 20_000_000)
            .plain_or_null(tenant(shape.provider_of_service(application.service), n))
            .end();
    }
}

fn referrer_filter(shape: &Shape, n: u64, row: &mut Rows) {
    let application = shape.application(n);
    if let Some(referrer) = application.referrer() {
        row.plain(n)
            .plain(n)
            .text(&referrer)
            .made(NOW - 20_000_000)
            .plain_or_null(tenant(shape.provider_of_service(application.service), n))
            .end();
    }
}

fn service_token(shape: &Shape, n: u64, row: &mut Rows) {
    row.plain(n).plain(n).plain(shape.service_token(n)).made(NOW).plain_or_null(tenant(shape.provider_of_service(n), n)).end();
}

fn access_token(shape: &Shape, n: u64, row: &mut Rows) {
    let value = shape.random("access_tokens", n).hex(64);
    row.plain(n)
        .plain(n)
        .text("---\n- account_management\n- stats\n")
        .plain(value)
        .text("Administration")
        .text("rw")
        .made(NOW)
        .plain_or_null(tenant(n, n))
        .end();
}

fn alert(shape: &Shape, n: u64, row: &mut Rows) {
    let application = shape.application(1 + shape.providers + 1 + n % (shape.applications - shape.providers - 1));
    let provider = shape.provider_of_service(application.service);
    row.plain(n)
        .plain(provider)
        .plain(application.id)
        .plain(application.service)
        .plain(n)
        .moment(NOW - 3600)
        .text("unread")
        .plain(80)
        .plain("0.81");
    row.text("hits per minute: 8 of 10").plain_or_null(tenant(provider, n)).end();
}
