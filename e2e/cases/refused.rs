//! What is refused before anything is touched: rights that are too small, a namespace that is not there or has no 3scale.

use e2e::{Fingerprint, Installation, Program, Settings, Steps, assert_equal};

pub(crate) fn rights_too_small() {
    let settings = Settings::read();
    let mut steps = Steps::of("case 08: rights too small");
    steps.step("a service account that may look, but read no Secret and enter no pod");
    let place = Installation::of_era(&settings, "2.15");
    let program = Program::new(&settings, &place.namespace);
    let before = Fingerprint::of(&place);
    drop(place.kubectl.run(&["delete", "serviceaccount,role,rolebinding", "e2e-small"], b""));
    place.kubectl.act(&["create", "serviceaccount", "e2e-small"]);
    let resources =
        "--resource=pods,services,configmaps,persistentvolumeclaims,deployments.apps,replicasets.apps,apimanagers.apps.3scale.net";
    place.kubectl.act(&["create", "role", "e2e-small", "--verb=get,list,watch", resources]);
    let account = format!("--serviceaccount={}:e2e-small", place.namespace);
    place.kubectl.act(&["create", "rolebinding", "e2e-small", "--role=e2e-small", &account]);
    let user = format!("system:serviceaccount:{}:e2e-small", place.namespace);

    steps.step("doctor names the rules that are missing");
    let words = program.fails(&[2], &["doctor", "--as", &user]);
    for missing in ["secrets", "pods/exec"] {
        assert!(words.contains(missing), "{missing} is not named:\n{words}");
    }
    steps.step("backup names them and makes no set");
    let words = program.fails(&[2], &["backup", "--as", &user]);
    assert!(words.contains("secrets") && words.contains("verbs"), "the rule is not named:\n{words}");
    assert_eq!(program.sets(), 0);

    steps.step("nothing was touched");
    assert_equal(&Fingerprint::of(&place), &before, "after refusals");
    place.kubectl.act(&["delete", "serviceaccount,role,rolebinding", "e2e-small"]);
    assert_eq!(place.leftovers(), Vec::<String>::new());
}

pub(crate) fn wrong_namespace() {
    let settings = Settings::read();
    let mut steps = Steps::of("case 09: a wrong namespace");
    let place = Installation::of_era(&settings, "2.15");
    let program = Program::new(&settings, &place.namespace);
    for wrong in ["no-such-namespace-here", "kube-public"] {
        steps.step(&format!("namespace {wrong}"));
        for command in ["doctor", "backup"] {
            let words = program.fails(&[2], &[command, "--namespace", wrong]);
            assert!(words.contains(wrong), "{command} does not name it:\n{words}");
            assert!(!words.contains("panicked"), "{words}");
        }
        assert_eq!(program.sets(), 0);
    }
}
