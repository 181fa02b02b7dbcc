//! `restore --tenant` where the files are in a bucket: its own go back, those of others stay, killed in the middle or not; what the bucket does not let do is told before anything is touched.

use std::collections::BTreeMap;

use lab::{MysqlKind, S3};

use crate::beside_rows::ok;
use crate::installation::Installation;
use crate::restoring::{kill_at_record, newest_journal, state};
use crate::support::text;

const LOGO: &str = "shared/2000/profiles/logos/large/logo.png";
const INVOICE: &str = "shared/invoices/2001/pdfs/original/invoice-2000.pdf";
const RESTORE: [&str; 5] = ["restore", "latest", "--tenant", "2000", "--yes"];

/// The files of an installation, in a bucket.
fn moved(it: &Installation) -> S3 {
    let s3 = S3::start().unwrap();
    let find = std::process::Command::new("find").args(["-type", "f", "-printf", "%P\\n"]).current_dir(it.path("files")).output().unwrap();
    for path in text(&find.stdout).lines() {
        s3.put(path, std::fs::read(it.path("files").join(path)).unwrap(), &[("content-type", "image/png")]);
    }
    let (id, secret) = s3.keys();
    let bucket = format!(
        "path = \"s3://system-files\"\n[system-storage.s3]\nendpoint = {:?}\naccess-key-id = {id:?}\nsecret-access-key = {secret:?}\n",
        s3.endpoint()
    );
    let config = std::fs::read_to_string(it.path("config.toml")).unwrap();
    let path = config.lines().find(|line| line.starts_with("path = ")).unwrap();
    std::fs::write(it.path("config.toml"), config.replace(path, &bucket)).unwrap();
    s3
}

type Objects = BTreeMap<String, Vec<u8>>;

fn objects(s3: &S3) -> Objects {
    s3.objects().into_iter().map(|(key, object)| (key, object.bytes.to_vec())).collect()
}

fn live(s3: &S3) -> Objects {
    objects(s3).into_iter().filter(|(key, _)| !key.starts_with(".threescale-backup/")).collect()
}

#[test]
fn tn_files_of_a_tenant_go_back_into_a_bucket() {
    let it = Installation::start(Some(MysqlKind::Mariadb), "NULL");
    let s3 = moved(&it);
    ok(&it, &["backup", "--warnings-are-fine", "--no-verify"]);
    s3.remove(LOGO);
    s3.put(INVOICE, b"another".to_vec(), &[]);
    s3.put("shared/3000/profiles/logos/large/logo.png", b"of another, since".to_vec(), &[]);
    it.database.sql("UPDATE services SET name = 'another' WHERE id = 2001");
    let (rows, spoilt) = (it.database.all(), objects(&s3));
    let mut wanted = spoilt.clone();
    wanted.insert(LOGO.to_owned(), b"logo of 2000".to_vec());
    wanted.insert(INVOICE.to_owned(), b"invoice of 2000".to_vec());

    let said = ok(&it, &["plan", "latest", "--tenant", "2000", "--no-verify"]);
    assert!(said.contains("1 are missing here and 1 are others") && said.contains("1 are new, 1 take the place of others"), "{said}");
    assert!(said.contains("stay lost: invoices/2501/pdfs/original/invoice-2000.pdf (row 2501 of invoices)"), "{said}");
    assert_eq!(objects(&s3), spoilt, "a plan changes nothing");

    let mut last = newest_journal(&it).1;
    for (records, resumes) in [(4, true), (7, false), (9, true), (11, false)] {
        let mut call = it.command(&RESTORE);
        call.env_remove("THREESCALE_BACKUP_ROWS_ONLY");
        kill_at_record(&it, call, records, &mut last);
        if resumes {
            if state(&it) == "open" {
                ok(&it, &["resume"]);
            }
            assert_eq!(live(&s3), wanted, "resumed, killed at record {records}");
        }
        ok(&it, &["undo", "--yes"]);
        assert_eq!(objects(&s3), spoilt, "undone, killed at record {records}");
        assert_eq!(it.database.all(), rows, "undone, killed at record {records}");
    }
    let said = ok(&it, &RESTORE);
    assert!(!said.contains(s3.keys().1), "{said}");
    assert_eq!(live(&s3), wanted);
    ok(&it, &["settle", "--yes"]);
    assert_eq!(objects(&s3), wanted, "settled");
}
