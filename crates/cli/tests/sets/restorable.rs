//! Whether a set can go back, as the backup said it: told wherever the set is.

use plan::manifest::KeptDataSet;
use plan::ports::{Problem, Severity};

use crate::small::{Home, Small};
use crate::written::{repository, write};

fn omitted() -> Problem {
    Problem::new(Severity::Degrades, "view \"v\" cannot be made").way_out("CREATE USER its definer.")
}

fn refused() -> Problem {
    Problem::new(Severity::Blocks, "table \"t\" would be refused")
}

#[test]
fn what_will_not_go_back_is_told_by_list_and_show() {
    let home = Home::make();
    let a = Small::start(&home, "a");
    let repository = repository(&home);
    for (set, problems) in [
        ("set-fine", vec![Problem::new(Severity::Note, "histograms are not kept")]),
        ("set-omits", vec![omitted()]),
        ("set-refused", vec![omitted(), refused()]),
    ] {
        write(&repository, set, |manifest| {
            manifest.data_sets.values_mut().for_each(|kept: &mut KeptDataSet| kept.problems.clone_from(&problems));
        });
    }

    let list = a.ok(&["list"]);
    assert_eq!(list.matches("goes back with omissions").count(), 1, "{list}");
    assert_eq!(list.matches("CANNOT GO BACK").count(), 1, "{list}");
    assert!(list.contains("`threescale-backup show set-omits`") && !list.contains("show set-fine"), "{list}");
    for (set, word, line) in [
        ("set-fine", "yes", "  note: system-redis: histograms are not kept."),
        ("set-omits", "with omissions", "  omitted: system-redis: view \"v\" cannot be made. CREATE USER its definer."),
        ("set-refused", "no", "  would be refused: system-redis: table \"t\" would be refused."),
    ] {
        let shown = a.ok(&["show", set]);
        assert!(shown.contains(&format!("Goes back: {word}\n")) && shown.contains(line), "{shown}");
        assert_eq!(a.json(&["show", set])["restorable"], word.replace(' ', "-"));
    }
    let document = a.json(&["show", "set-omits"]);
    assert_eq!(document["data_sets"]["system-redis"]["problems"][0]["severity"], "degrades");
}

#[test]
fn a_set_of_a_release_that_did_not_say_it_is_not_called_fine() {
    let home = Home::make();
    let a = Small::start(&home, "a");
    write(&repository(&home), "set-old", |manifest| "1.0".clone_into(&mut manifest.format));
    assert!(a.ok(&["show", "set-old"]).contains("Goes back: not known"));
    assert!(a.json(&["show", "set-old"])["restorable"].is_null());
}
