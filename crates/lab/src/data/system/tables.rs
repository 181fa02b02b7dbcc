//! The tables whose rows are few, or as many as there are accounts and applications.

use super::Table;
use crate::data::calendar::{Moment, NOW};
use crate::data::row::Rows;
use crate::data::shape::{Shape, backend_version};
use crate::data::storage;

const fn table(name: &'static str, row_bytes: u64, rows: fn(&Shape) -> u64, row: fn(&Shape, u64, &mut Rows)) -> Table {
    Table { name, row_bytes, rows, row }
}

pub(super) const TABLES: &[Table] = &[
    table(
        "schema_migrations",
        15,
        |_| 400,
        |_, n, row| row.plain(format_args!("20{:02}{:02}{:02}{n:06}", 9 + n / 25, n % 12 + 1, n % 28 + 1)).end(),
    ),
    table("ar_internal_metadata", 60, |_| 1, |_, _, row| row.text("environment").text("production").made(NOW).end()),
    table("accounts", 240, Shape::accounts, account),
    table("settings", 900, |shape| shape.providers, settings),
    table("users", 220, Shape::accounts, user),
    table("profiles", 120, |shape| shape.providers, profile),
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
    table("invoices", 220, |shape| shape.invoices, invoice),
    table("invoice_counters", 70, |shape| shape.providers, invoice_counter),
    table("cms_files", 260, |shape| shape.cms_files, cms_file),
    table("alerts", 120, |shape| shape.applications / 20, alert),
    table("policies", 900, |shape| shape.providers, policy),
    table("payment_gateway_settings", 400, |shape| shape.providers, payment_gateway),
    table("member_permissions", 200, |shape| shape.providers, member_permission),
    table("deleted_objects", 120, |shape| shape.applications / 50 + 1, deleted_object),
    table("annotations", 120, |shape| shape.services, annotation),
];

/// Every byte there is, and what separators and escapes are made of.
fn every_byte() -> Vec<u8> {
    (0..=255).chain(*b"\r\n\t'\"\\\x1a\0\\N").collect()
}

/// Some rows of porta have no tenant, though a trigger would give them one when they are inserted again.
const fn tenant(provider: u64, n: u64) -> Option<u64> {
    if provider == 1 || n.is_multiple_of(13) { None } else { Some(provider) }
}

fn account(shape: &Shape, n: u64, row: &mut Rows) {
    let mut random = shape.random("accounts", n);
    row.plain(n);
    let is_provider = n <= shape.providers + 1;
    let buyer = n.saturating_sub(2 + shape.providers);
    match n % 6 {
        _ if n == 1 => row.text("Master Account"),
        0 => row.text("Über & Söhne „GmbH“"),
        1 => row.text("O'Reilly \\ \"Quoted\"; DROP TABLE accounts; --"),
        2 => row.text("日本語の会社"),
        _ => row.plain(format_args!("Developer {n}")),
    };
    row.plain(u8::from(is_provider)).plain_or_null((n == 1).then_some(1)).plain(if is_provider {
        1
    } else {
        shape.provider_of_buyer(buyer)
    });
    if is_provider {
        row.plain(format_args!("provider-{n}.example.com")).plain(format_args!("provider-{n}-admin.example.com"));
    } else {
        row.null().null();
    }
    row.text("approved").plain_or_null(is_provider.then(|| format!("provider-{n}")));
    match n % 4 {
        0 => row.null(),
        1 => row.plain("0000-00-00"),
        _ => row.plain(Moment::of(NOW + 86_400 * 700).date()),
    };
    let mut extra = String::from("---\nnote: ");
    random.words(40, &mut extra);
    row.text(&extra);
    if n.is_multiple_of(11) {
        row.plain("0000-00-00 00:00:00").null();
    } else {
        row.made(NOW - random.below(80_000_000).cast_signed());
    }
    let provider = if n == 1 {
        1
    } else if is_provider {
        n
    } else {
        shape.provider_of_buyer(buyer)
    };
    row.plain_or_null(tenant(provider, n)).end();
}

fn settings(shape: &Shape, n: u64, row: &mut Rows) {
    let mut random = shape.random("settings", n);
    let mut text = String::new();
    random.words(700, &mut text);
    row.plain(n).plain(n + 1).null().text(&text).plain(random.hex(64)).text("denied").made(NOW).plain(n + 1).end();
}

fn user(shape: &Shape, n: u64, row: &mut Rows) {
    let mut random = shape.random("users", n);
    let is_provider = n <= shape.providers + 1;
    row.plain(n).plain(n).plain(if is_provider { "admin".to_owned() } else { format!("john{n}") });
    row.plain(format_args!("{}{n}@example.com", if n.is_multiple_of(5) { "müller" } else { "john" }));
    row.plain(format_args!("$2a$12${}", random.hex(53)))
        .text("admin")
        .text("active")
        .null()
        .made(NOW - random.below(80_000_000).cast_signed());
    let provider = if is_provider { n } else { shape.provider_of_buyer(n - 2 - shape.providers) };
    row.plain_or_null(tenant(provider, n)).end();
}

fn profile(_: &Shape, n: u64, row: &mut Rows) {
    let (name, size) = storage::logo(n + 1);
    row.plain(n)
        .plain(n + 1)
        .text("We make APIs ✓")
        .plain(name)
        .text("image/png")
        .plain(size)
        .text("published")
        .made(NOW)
        .plain(n + 1)
        .end();
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
    row.plain(0).made(NOW - 40_000_000).plain_or_null(tenant(provider, n)).end();
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
    row.plain_or_null((n <= 5).then_some(n)).moment(NOW).plain(n % 7).made(NOW - 40_000_000);
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

fn invoice(shape: &Shape, n: u64, row: &mut Rows) {
    let mut random = shape.random("invoices", n);
    let buyer = random.below(shape.buyers);
    let provider = shape.provider_of_buyer(buyer);
    let pdf = storage::invoice_pdf(shape, n);
    row.plain(n).plain(provider).plain(2 + shape.providers + buyer).plain(format_args!("2025-12-{n:08}")).plain("2025-12-01");
    row.text(["paid", "unpaid", "open"][(n % 3) as usize])
        .plain(format_args!("{}.{:04}", random.below(10_000), random.below(10_000)))
        .text("EUR")
        .plain("2026-01-03");
    if n.is_multiple_of(3) {
        row.moment(NOW)
    } else {
        row.null()
    };
    match pdf {
        Some(pdf) => row.plain(pdf.name).text("application/pdf").plain(pdf.size_bytes).moment(NOW),
        None => row.null().null().null().null(),
    };
    row.made(NOW - 2_000_000).plain_or_null(tenant(provider, n)).end();
}

fn invoice_counter(shape: &Shape, n: u64, row: &mut Rows) {
    row.plain(n).plain(n + 1).plain("2025-12").plain(shape.invoices).made(NOW).end();
}

fn cms_file(shape: &Shape, n: u64, row: &mut Rows) {
    let file = storage::cms_file(shape, n);
    row.plain(n)
        .plain(file.provider)
        .plain(1)
        .text(&file.name)
        .text("application/octet-stream")
        .plain(file.size_bytes)
        .moment(NOW)
        .plain(&file.secret);
    row.text(&format!("/{}", file.name)).plain(1).made(NOW - 1_000_000).plain_or_null(tenant(file.provider, n)).end();
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

fn policy(_: &Shape, n: u64, row: &mut Rows) {
    let mut schema = b"{\"$schema\": \"http://apicast.io/policy-v1/schema#manifest#\"}".to_vec();
    schema.extend(every_byte().repeat(2));
    row.plain(n).text("custom").text("1.0").blob(&schema).plain(n + 1).plain(format_args!("custom-{n}")).made(NOW).plain(n + 1).end();
}

fn payment_gateway(_: &Shape, n: u64, row: &mut Rows) {
    let mut blob = b"\x04\x08{\x06:\nlogin\"\x0b".to_vec();
    blob.extend(every_byte());
    row.plain(n).blob(&blob).text("stripe").plain(n + 1).made(NOW).plain(n + 1).end();
}

fn member_permission(_: &Shape, n: u64, row: &mut Rows) {
    row.plain(n).plain(n + 1).text("services").blob(b"\x04\x08[\x07i\x07i\x08").made(NOW).plain(n + 1).end();
}

fn deleted_object(shape: &Shape, n: u64, row: &mut Rows) {
    row.plain(n).plain(2).text("Account").plain(shape.applications + 1000 + n).text("Cinstance").text("---\n:a: \"b\"\n").moment(NOW).end();
}

fn annotation(shape: &Shape, n: u64, row: &mut Rows) {
    row.plain(n)
        .text("managed_by")
        .text("🚀 four bytes 𝄞")
        .text("Service")
        .plain(n + 1)
        .plain(shape.provider_of_service(n + 1))
        .made(NOW)
        .end();
}
