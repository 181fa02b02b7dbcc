//! One tenant goes back while all serve: its rows, its files through the pod that has them mounted, its configuration in Backend.

use e2e::{Fingerprint, Installation, Program, Settings, Steps, assert_equal};

/// What the case compares: what the stand-ins do by themselves in other stores is no matter of a tenant's.
const COMPARED: [&str; 3] = ["system-database/", "system-storage/", "backend-redis/0/"];

/// A developer with his applications and invoices, a file of the portal, and how another one is called.
const DELETED: &str = "DELETE FROM users WHERE account_id = 4; DELETE FROM application_keys WHERE application_id IN (3, 6);
DELETE FROM referrer_filters WHERE application_id = 3; DELETE FROM alerts WHERE cinstance_id = 3; DELETE FROM cinstances WHERE user_account_id = 4;
DELETE FROM invoices WHERE buyer_account_id = 4; DELETE FROM accounts WHERE id = 4; DELETE FROM cms_files WHERE id = 1;
UPDATE cms_files SET path = '/renamed.css' WHERE id = 3; UPDATE services SET description = 'changed' WHERE id = 3;
INSERT INTO users (account_id, username, email) VALUES (5, 'new', 'new@example.com');";

/// Of its files one is gone, one has another content, one lost a folder above it; a stranger's is there.
const DAMAGED: &str = "rm provider-name/2026/01/05/logo-*.png && echo other > provider-name/2026/01/05/5MB-*.bin && rm -r provider-name/invoices \
                       && mkdir -p ueber && echo theirs > ueber/stays";

fn compared(place: &Installation) -> Fingerprint {
    let mut found = Fingerprint::of_data(place).only(&COMPARED);
    found.0.retain(|name, _| !name.contains("/threescale-backup:"));
    found
}

pub(crate) fn goes_back_alone() {
    let settings = Settings::read();
    let mut steps = Steps::of("case 25: one tenant, with its files through the pod");
    steps.step("a set of an installation");
    let place = Installation::of_era(&settings, "2.15");
    place.wait_ready();
    let replicas = place.replicas();
    let program = Program::new(&settings, &place.namespace);
    program.ok(&["backup"]);
    let whole = compared(&place);

    steps.step("a developer is deleted, rows change, files are lost and changed, Backend forgets an application; another tenant works on");
    drop(place.mysql(DELETED));
    drop(place.files(DAMAGED));
    drop(place.redis("backend-redis", 0, &["DEL", "application/service_id:2/id:app-a1/state", "application/service_id:2/id:app-a1/keys"]));
    drop(place.mysql("UPDATE services SET description = 'theirs' WHERE id = 4"));
    let broken = compared(&place);
    assert_ne!(broken, whole);

    steps.step("the plan names it all, and touches nothing");
    let plan = program.ok(&["plan", "latest", "--tenant", "3scale-admin.example.com"]);
    for word in ["accounts", "cms_files", "invoices", "file"] {
        assert!(plan.contains(word), "{word} is not in it:\n{plan}");
    }
    assert_equal(&compared(&place), &broken, "after the plan");

    let theirs =
        |of: &Fingerprint| of.without(&["system-database/system.services", "system-database/count services", "system-storage/./ueber"]);
    let restore = ["restore", "latest", "--tenant", "2", "--yes"];
    steps.step("it goes back, and what is another's stays");
    program.ok(&restore);
    assert_equal(&theirs(&compared(&place)), &theirs(&whole), "after the restore");
    let others = || (place.mysql("SELECT id, description FROM services WHERE id IN (3, 4) ORDER BY id"), place.files("cat ueber/stays"));
    assert_eq!(others(), ("3\tline 1\\nline 2\\ttab\\\\n\n4\ttheirs\n".to_owned(), "theirs\n".to_owned()));

    steps.step("undone: as it was before, but for empty folders");
    program.ok(&["undo", "--yes"]);
    // Folders that were made for its files stay (docs/one-tenant.md).
    let after = compared(&place);
    assert_equal(&after.without(&["system-storage/./provider-name/invoices"]), &broken, "after undo");
    assert!(!after.0.keys().any(|name| name.contains("invoices") && name.ends_with(" content")), "{after:?}");

    steps.step("once more, and settled");
    program.ok(&restore);
    program.ok(&["settle", "--yes"]);
    assert_equal(&theirs(&compared(&place)), &theirs(&whole), "after settle");
    assert_eq!(place.replicas(), replicas, "nobody was stopped");
    place.wait_writing();
    drop(place.mysql(&format!("UPDATE services SET description = '{}' WHERE id = 4", "x".repeat(3000))));
    drop(place.files("rm -r ueber"));
    assert_equal(&compared(&place), &whole, "in the end");
    assert_eq!(place.leftovers(), Vec::<String>::new());
}
