//! `evidence`: one document that says all, and that nobody can write markup into.

use std::io::Write;
use std::process::{Command, Stdio};

use crate::small::{Home, Small};
use crate::support::text;
use crate::written::{repository, write};

/// By a program of Debian's.
fn sha256(bytes: &[u8]) -> String {
    let mut child = Command::new("sha256sum").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(bytes).unwrap();
    text(&child.wait_with_output().unwrap().stdout).split(' ').next().unwrap().to_owned()
}

/// Nothing from elsewhere, and nothing that runs.
fn assert_harmless(page: &str) {
    for word in ["<img", "<script", "<link", "<iframe", "http://", "https://", "url(", "@import", " src=\""] {
        assert!(!page.contains(word), "{word}");
    }
}

#[test]
fn all_that_shows_that_a_set_goes_back_is_in_one_document() {
    let home = Home::make();
    let a = Small::start(&home, "a");
    let set = a.backup(&[]);
    let to = |name: &str| home.path(name).to_str().unwrap().to_owned();
    let (html, json) = (to("evidence.html"), to("evidence.json"));
    a.ok(&["evidence", &set, "--to", &html]);
    assert!(std::fs::read_to_string(&html).unwrap().contains("It was not put back or rehearsed yet"));
    a.ok(&["check", "--read-data"]);
    a.ok(&["rehearse", &set]);
    assert!(a.refused(&["evidence", &set, "--to", &html]).contains("is there already"));
    assert!(a.refused(&["evidence", &set, "--to", &to("evidence.pdf")]).contains("--to FILE.html"));
    std::fs::remove_file(&html).unwrap();
    a.ok(&["evidence", "latest", "--to", &json]);
    a.ok(&["evidence", "latest", "--to", &html]);

    let document: serde_json::Value = serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();
    assert_eq!((&document["manifest"]["set"], document["checks"].as_array().unwrap().len()), (&set.as_str().into(), 1));
    let proof = &document["proven_by"][0];
    for name in ["system-redis", "system-storage"] {
        assert_eq!(proof["data_sets"][name]["digest"], document["digests"][name], "what was read back is what was taken");
    }
    assert_eq!(document["checks"][0]["packs_read"], document["checks"][0]["packs"]);

    let page = std::fs::read_to_string(&html).unwrap();
    assert!(page.contains("rehearsed 2/2 at "), "{page}");
    assert_harmless(&page);
    let inner = page.split("<pre>").nth(1).unwrap().split("</pre>").next().unwrap();
    let inner = inner.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&#39;", "'").replace("&amp;", "&");
    assert!(page.contains(&format!("SHA-256 <code>{}</code>", sha256(inner.as_bytes()))));
    assert_eq!(serde_json::from_str::<serde_json::Value>(&inner).unwrap()["digests"], document["digests"]);
}

#[test]
fn what_others_wrote_into_the_repository_is_no_markup() {
    let home = Home::make();
    let a = Small::start(&home, "a");
    write(&repository(&home), "01hostile", |manifest| {
        manifest.host = "<img src=x>".to_owned();
        let kept = manifest.data_sets.values_mut().next().unwrap();
        kept.store = "</td><script>alert(1)</script>".to_owned();
        kept.evidence.warnings.push("a \"quoted\" <b>".to_owned());
        kept.evidence.collections.insert("<iframe>".to_owned(), plan::evidence::Tally::default());
    });
    let page = home.path("page.html");
    a.ok(&["evidence", "01hostile", "--to", page.to_str().unwrap()]);
    let page = std::fs::read_to_string(page).unwrap();
    assert_harmless(&page);
    assert!(
        page.contains("&lt;img src=x&gt;") && page.contains("a &quot;quoted&quot; &lt;b&gt;") && page.contains("&lt;iframe&gt;"),
        "{page}"
    );
}
