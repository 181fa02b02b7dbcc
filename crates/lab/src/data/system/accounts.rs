//! The tables of accounts: users, invoices, files, settings with all bytes there are.

use super::products::tenant;
use super::{Table, table};
use crate::data::calendar::{Moment, NOW};
use crate::data::row::Rows;
use crate::data::shape::Shape;
use crate::data::storage;

pub(super) const TABLES: &[Table] = &[
    table("accounts", 240, Shape::accounts, account),
    table("settings", 900, |shape| shape.providers, settings),
    table("users", 220, Shape::accounts, user),
    table("profiles", 120, |shape| shape.providers, profile),
    table("invoices", 220, |shape| shape.invoices, invoice),
    table("invoice_counters", 70, |shape| shape.providers, invoice_counter),
    table("cms_files", 260, |shape| shape.cms_files, cms_file),
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
