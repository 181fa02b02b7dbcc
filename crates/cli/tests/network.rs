//! A network that stops forwarding, or breaks: every command ends, with the exit code that says so, and the next one works.
#![expect(clippy::unwrap_used, reason = "tests")]

#[expect(dead_code, reason = "other tests use the rest")]
mod support;

use std::process::{Command, Stdio};

use lab::{Proxy, Trouble};
use support::{World, assert_equal, text};

/// An installation whose databases are behind proxies.
struct Behind {
    world: World,
    proxies: [Proxy; 2],
}

fn behind() -> Behind {
    let world = World::start(4 << 20);
    let ports = [world.installation.mysql.port(), world.installation.postgres.port()];
    let proxies = ports.map(|port| Proxy::before(port).unwrap());
    world.reconfigure(|text| {
        let by_proxy = ports
            .iter()
            .zip(&proxies)
            .fold(text, |text, (port, proxy)| text.replace(&format!("127.0.0.1:{port}/"), &format!("127.0.0.1:{}/", proxy.port())));
        format!("{by_proxy}\n[options]\nio-seconds-max = 2\n")
    });
    Behind { world, proxies }
}

impl Behind {
    fn calm(&self) {
        self.proxies.iter().for_each(|proxy| proxy.trouble_after(u64::MAX, Trouble::Freeze));
    }
}

#[test]
fn a_network_that_stops_or_breaks_is_exit_code_75_and_the_next_call_works() {
    let behind = behind();
    let world = &behind.world;
    let good = world.fingerprint();
    for proxy in &behind.proxies {
        for trouble in [Trouble::Freeze, Trouble::Cut] {
            proxy.trouble_after(100_000, trouble);
            let said = world.refused(75, &["backup"]);
            assert!(said.contains("error:") && !said.contains('\u{1b}'), "{said}");
            behind.calm();
        }
    }
    world.ok(&["backup"]);
    world.damage_all();
    for proxy in &behind.proxies {
        for trouble in [Trouble::Freeze, Trouble::Cut] {
            proxy.trouble_after(100_000, trouble);
            world.refused(75, &["restore", "latest", "--yes"]);
            behind.calm();
            world.ok(&["undo", "--yes"]);
        }
    }
    world.ok(&["restore", "latest", "--yes"]);
    assert_equal(&world.fingerprint(), &good, "restored through proxies");
}

#[test]
fn one_signal_ends_a_backup_on_a_network_that_has_stopped() {
    let behind = behind();
    behind.world.reconfigure(|text| text.replace("io-seconds-max = 2", "io-seconds-max = 3600"));
    for proxy in &behind.proxies {
        proxy.trouble_after(100_000, Trouble::Freeze);
        let child = behind.world.command(&["backup"]).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        while proxy.passed() <= 100_000 {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        let killed = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
        assert!(killed.success());
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(130), "{}", text(&output.stderr));
        behind.calm();
    }
    behind.world.ok(&["backup"]);
}
