//! Caches of System that run outside of the installation, and so are not emptied by stopping a workload: they are told to forget all, by memcached's text
//! protocol (`doc/protocol.txt`, `flush_all`).

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use plan::ports::{Context, Event};
use plan::{Error, Result};

use super::client::Cluster;
use super::find::address::Reach;
use super::find::memcache::outside;

/// For a connection, and for each answer.
const LIMIT: Duration = Duration::from_secs(5);
/// Longer lines are no answer of a cache.
const LINE_BYTES_MAX: u64 = 1024;

impl Cluster {
    /// Whether a cache can be told to forget.
    ///
    /// # Errors
    /// When it cannot be reached, or does not take the text protocol without a login.
    pub fn look_at_cache(&self, cache: &Reach) -> Result<()> {
        self.say(cache, "version", "VERSION")
    }

    /// Tells all caches outside of the installation to forget. What cannot be told is a warning: the data is right, and what is cached passes.
    pub(super) fn empty_caches(&self, context: &Context) -> Result<()> {
        let caches = match outside(self)? {
            Ok(caches) => caches,
            Err(problem) => {
                context.watch.see(Event::Warning(&problem.sentence()));
                return Ok(());
            }
        };
        for cache in caches {
            match self.say(&cache, "flush_all", "OK") {
                Ok(()) => context.watch.see(Event::Note(&format!("emptied memcache at {cache}"))),
                Err(error) => {
                    context.stop.check()?;
                    context.watch.see(Event::Warning(&format!("{}. {}", error.chain(), by_hand(&cache))));
                }
            }
        }
        Ok(())
    }

    fn say(&self, cache: &Reach, command: &str, wanted: &str) -> Result<()> {
        let what = |error: Error| error.during(format!("memcache at {cache} cannot be emptied"));
        let way = self.way_to(cache).map_err(what)?;
        let answer = answer(&way.host, way.port, command).map_err(|error| what(Error::transient("it cannot be reached").because(error)))?;
        if answer.starts_with(wanted) {
            return Ok(());
        }
        let why = if answer.contains("unauthenticated") || answer.is_empty() {
            "it wants a login or TLS"
        } else {
            "it does not take the text protocol"
        };
        Err(what(Error::refused(format!("{why}: to {command:?} it answered {answer:?}"))))
    }
}

/// What a person does instead.
#[must_use]
pub fn by_hand(cache: &Reach) -> String {
    format!(
        "System may answer from rows that are not there any more: after the restore restart memcached at {cache}, or say flush_all to it with its login."
    )
}

/// The first line of the answer; empty when the other side closes instead.
fn answer(host: &str, port: u16, command: &str) -> std::io::Result<String> {
    let mut last = std::io::Error::new(std::io::ErrorKind::NotFound, "the name has no address");
    for address in (host, port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, LIMIT) {
            Ok(mut stream) => {
                stream.set_read_timeout(Some(LIMIT))?;
                stream.set_write_timeout(Some(LIMIT))?;
                stream.write_all(format!("{command}\r\n").as_bytes())?;
                let mut line = Vec::new();
                BufReader::new(stream.take(LINE_BYTES_MAX)).read_until(b'\n', &mut line)?;
                return Ok(String::from_utf8_lossy(&line).trim().to_owned());
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use std::sync::{Arc, Mutex};

    use base64::Engine;
    use lab::Memcached;
    use plan::ids::DataSetName;
    use plan::ports::{Watch, WriterGroup, Writers};
    use serde_json::json;

    use super::*;
    use crate::kubernetes::scripted::{Reply, cluster};
    use crate::kubernetes::writers::{KubernetesWriters, WritersOptions};

    #[derive(Default)]
    struct Heard(Mutex<Vec<String>>);

    impl Watch for Heard {
        fn see(&self, event: Event<'_>) {
            if let Event::Note(text) | Event::Warning(text) = event {
                self.0.lock().unwrap().push(text.to_owned());
            }
        }
    }

    fn of_servers(servers: String) -> Cluster {
        cluster(move |_, path, _| match path.split('?').next().unwrap() {
            "/api/v1/namespaces/n/secrets/system-memcache" => {
                Reply::Json(200, json!({"data": {"SERVERS": base64::engine::general_purpose::STANDARD.encode(&servers)}}))
            }
            "/apis/apps/v1/namespaces/n/deployments" => Reply::Json(
                200,
                json!({"items": [{"metadata": {"name": "system-app", "uid": "u"}, "spec": {"replicas": 0, "selector": {"matchLabels": {"a": "b"}}}}]}),
            ),
            path if path.ends_with("/deploymentconfigs") => Reply::Json(404, json!({"reason": "NotFound"})),
            "/apis/apps/v1/namespaces/n/deployments/system-app" => {
                Reply::Json(200, json!({"metadata": {"name": "system-app", "uid": "u"}, "spec": {"replicas": 0}}))
            }
            _ => Reply::Json(200, json!({"items": []})),
        })
    }

    /// Two that forget, one that wants a login, one that is not there: what can be told is told, and the start goes on.
    #[test]
    fn caches_outside_are_emptied_before_system_starts() {
        let caches = [Memcached::start().unwrap(), Memcached::start().unwrap()];
        let guarded = Memcached::start_with_login().unwrap();
        let stored = |cache: &Memcached| cache.say("get key").unwrap();
        for cache in &caches {
            assert_eq!(cache.say("set key 0 0 5\r\nstale").unwrap(), "STORED");
            assert_eq!(stored(cache), "VALUE key 0 5");
        }
        let ports = [caches[0].port(), caches[1].port(), guarded.port(), 1];
        let all = ports.map(|port| format!("127.0.0.1:{port}")).join(",");
        let cluster = of_servers(all);
        let heard = Arc::new(Heard::default());
        let context = Context { watch: Arc::clone(&heard) as Arc<dyn Watch>, ..Context::new("run") };
        let writers = KubernetesWriters::new(cluster.clone(), WritersOptions::default());
        let noted = writers.note(&context, &[DataSetName::SystemDatabase]).unwrap();
        writers.start(&context, &noted, WriterGroup::Zync).unwrap();
        assert_eq!(stored(&caches[0]), "VALUE key 0 5", "not before System's turn");
        writers.start(&context, &noted, WriterGroup::System).unwrap();
        assert_eq!([&caches[0], &caches[1]].map(stored), ["END", "END"]);
        let heard = heard.0.lock().unwrap().join("\n");
        assert!(heard.contains(&format!("emptied memcache at 127.0.0.1:{}", ports[0])), "{heard}");
        assert!(heard.contains(&format!("memcache at 127.0.0.1:{} cannot be emptied: it wants a login", ports[2])), "{heard}");
        assert!(heard.contains("memcache at 127.0.0.1:1 cannot be emptied: it cannot be reached"), "{heard}");

        let at = |port| Reach::External { host: "127.0.0.1".into(), port };
        cluster.look_at_cache(&at(ports[0])).unwrap();
        assert_eq!(cluster.look_at_cache(&at(ports[2])).unwrap_err().class(), plan::Class::Refused);
        assert_eq!(cluster.look_at_cache(&at(1)).unwrap_err().class(), plan::Class::Transient);
    }
}
