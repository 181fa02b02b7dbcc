//! The tables that hold most of the bytes, in about the proportions of a real installation.

use std::fmt::Write;

use super::{Table, table};
use crate::data::calendar::NOW;
use crate::data::random::Random;
use crate::data::row::Rows;
use crate::data::shape::Shape;

pub(super) const TABLES: &[Table] = &[
    table("proxy_configs", 12_000, |shape| shape.share(22, 12_000), proxy_config),
    table("event_store_events", 640, |shape| shape.share(19, 640), event),
    table("audits", 560, |shape| shape.share(19, 560), audit),
    table("line_items", 190, |shape| shape.share(10, 190), line_item),
    table("cms_templates", 8_000, |shape| shape.share(6, 8_000), cms_template),
    table("log_entries", 230, |shape| shape.share(5, 230), log_entry),
    table("messages", 520, |shape| shape.share(5, 520), message),
    table("message_recipients", 60, |shape| shape.share(5, 520), message_recipient),
    table("backend_events", 300, backend_events, backend_event),
];

/// The highest id of `backend_events`; Backend's own counter is ahead of it.
pub(crate) fn backend_events(shape: &Shape) -> u64 {
    shape.share(4, 300)
}

fn provider(shape: &Shape, random: &mut Random) -> u64 {
    2 + random.below(shape.providers)
}

fn age(random: &mut Random, seconds: u64) -> i64 {
    NOW - random.below(seconds).cast_signed()
}

fn proxy_config(shape: &Shape, n: u64, row: &mut Rows) {
    let mut random = shape.random("proxy_configs", n);
    let proxy = 1 + (n - 1) % shape.services;
    let mut content = format!(
        "{{\"proxy\":{{\"id\":{proxy},\"service_id\":{},\"hosts\":[\"api-{proxy}.example.com\"],\"secret_token\":\"{}\",\"proxy_rules\":[",
        proxy + 1,
        random.hex(32)
    );
    let rules = 40 + random.below(80);
    for rule in 0..rules {
        let id = n * 200 + rule;
        // Writing to a String does not fail.
        write!(content, "{{\"id\":{id},\"proxy_id\":{proxy},\"http_method\":\"GET\",\"pattern\":\"/{}\",\"metric_id\":{},\"metric_system_name\":\"hits\",\"delta\":1}},", random.hex(12), Shape::metric(proxy + 1, rule)).unwrap_or_default();
    }
    content.pop();
    content.push_str("]},\"text\":\"");
    random.words(1500, &mut content);
    content.push_str(" ✓\"}");
    row.plain(n)
        .plain(proxy)
        .plain_or_null((!n.is_multiple_of(5)).then(|| shape.provider_of_service(proxy + 1)))
        .plain(1 + (n - 1) / shape.services / 2);
    row.text(if n.is_multiple_of(2) { "production" } else { "sandbox" }).text(&content).made(age(&mut random, 50_000_000));
    row.plain(shape.provider_of_service(proxy + 1)).end();
}

fn event(shape: &Shape, n: u64, row: &mut Rows) {
    let mut random = shape.random("event_store_events", n);
    let provider = provider(shape, &mut random);
    let id = random.hex(32);
    let application = 1 + random.below(shape.applications);
    let mut data = format!(
        "---\n:application: !ruby/object:Cinstance\n  id: {application}\n:provider:\n  id: {provider}\n  token: {}\n:note: |\n  ",
        random.hex(64)
    );
    random.words(260, &mut data);
    row.plain(n).text("all").text("Cinstances::CinstanceCreatedEvent").plain(format_args!(
        "{}-{}-{}-{}-{}",
        &id[..8],
        &id[8..12],
        &id[12..16],
        &id[16..20],
        &id[20..]
    ));
    row.text("---\n:timestamp: 2026-01-05 10:00:00.000000000 Z\n").text(&data).plain(provider).moment(age(&mut random, 600_000));
    row.plain_or_null((!n.is_multiple_of(17)).then_some(provider)).end();
}

fn audit(shape: &Shape, n: u64, row: &mut Rows) {
    let mut random = shape.random("audits", n);
    let provider = provider(shape, &mut random);
    let mut changes = String::from("---\nstate:\n- pending\n- live\nuser_key: ");
    changes.push_str(&random.hex(32));
    changes.push_str("\ndescription: ");
    random.words(220, &mut changes);
    row.plain(n)
        .plain(1 + random.below(shape.applications))
        .text("Cinstance")
        .plain(provider)
        .text("User")
        .text("admin")
        .text("update")
        .plain(n % 9);
    row.moment(age(&mut random, 7_000_000))
        .plain_or_null((!n.is_multiple_of(19)).then_some(provider))
        .plain(provider)
        .text("Cinstance")
        .text(&changes);
    row.null().null().null().plain(format_args!("10.{}.{}.{}", n % 250, random.below(250), random.below(250))).plain(random.hex(36)).end();
}

fn line_item(shape: &Shape, n: u64, row: &mut Rows) {
    let mut random = shape.random("line_items", n);
    let mut description = String::new();
    random.words(40, &mut description);
    row.plain(n).plain(1 + random.below(shape.invoices)).text("Fixed fee ('Größe L')").text(&description);
    row.plain(format_args!("{}.{:04}", random.below(1000), random.below(10_000)))
        .text("LineItem::PlanCost")
        .null()
        .plain(1 + random.below(shape.applications))
        .plain(n % 4);
    row.plain("2025-12-01 00:00:00")
        .plain("2025-12-31 23:59:59")
        .made(age(&mut random, 3_000_000))
        .plain(provider(shape, &mut random))
        .end();
}

fn cms_template(shape: &Shape, n: u64, row: &mut Rows) {
    let mut random = shape.random("cms_templates", n);
    let provider = provider(shape, &mut random);
    let mut page = String::from("<!DOCTYPE html>\n<html>\n<body>\n\t{% include 'submenu' %}\n");
    for part in 0..20 {
        write!(page, "<h2 id=\"{part}\">{{{{ provider.name }}}}</h2>\n<p class='{}'>", random.hex(8)).unwrap_or_default();
        random.words(300, &mut page);
        page.push_str("</p>\n");
    }
    row.plain(n)
        .plain(provider)
        .plain(1)
        .text("CMS::Page")
        .plain(format_args!("/docs/{n}"))
        .text("Documentation „ß“")
        .plain(format_args!("page_{n}"));
    row.text(&page).null().plain(1).text("---\n:a: 1\n").made(age(&mut random, 50_000_000)).plain(provider).end();
}

fn log_entry(shape: &Shape, n: u64, row: &mut Rows) {
    let mut random = shape.random("log_entries", n);
    let buyer = random.below(shape.buyers);
    let provider = shape.provider_of_buyer(buyer);
    let mut text = String::from("Contract cancelled: ");
    random.words(110, &mut text);
    row.plain(n)
        .plain(provider)
        .plain(2 + shape.providers + buyer)
        .plain(10)
        .text(&text)
        .made(age(&mut random, 7_000_000))
        .plain(provider)
        .end();
}

fn message(shape: &Shape, n: u64, row: &mut Rows) {
    let mut random = shape.random("messages", n);
    let provider = provider(shape, &mut random);
    let mut body = String::from("Dear Developer,\n\n");
    random.words(340, &mut body);
    body.push_str("\n\nThe API Team\n");
    row.plain(n)
        .plain(provider)
        .text("API System: New Application")
        .text(&body)
        .text("sent")
        .null()
        .plain(n % 30)
        .text("---\n:a: b\n")
        .null()
        .text("Message");
    row.made(age(&mut random, 20_000_000)).plain(provider).end();
}

fn message_recipient(shape: &Shape, n: u64, row: &mut Rows) {
    let buyer = shape.random("message_recipients", n).below(shape.buyers);
    row.plain(n)
        .plain(n)
        .plain(2 + shape.providers + buyer)
        .text("Account")
        .text("to")
        .null()
        .text("read")
        .null()
        .plain(shape.provider_of_buyer(buyer))
        .null()
        .end();
}

fn backend_event(shape: &Shape, n: u64, row: &mut Rows) {
    let mut random = shape.random("backend_events", n);
    let application = shape.application(1 + random.below(shape.applications));
    let data = format!(
        "{{\"id\":{n},\"type\":\"alert\",\"timestamp\":\"2026-01-05 09:{:02}:00 UTC\",\"object\":{{\"id\":{n},\"utilization\":80,\"max_utilization\":0.81,\"application_id\":\"{}\",\"service_id\":{},\"limit\":\"hits per minute: 8 of 10\",\"token\":\"{}\"}}}}",
        n % 60,
        application.application_id(),
        application.service,
        random.hex(40)
    );
    row.plain(n).text(&data).made(age(&mut random, 9_000_000)).end();
}
