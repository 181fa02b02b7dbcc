//! Throw-away servers for a rehearsal: pods of our own in the installation's namespace, from the images of the installation's own stores or from configured ones.
//!
//! Nothing of the installation is in them: data in an `emptyDir`, another random password each, which is in a Secret and nowhere else, and a `NetworkPolicy` that lets
//! in nobody but a Job of this program (a forwarded port arrives inside the pod). Secret and policy belong to the pod and go with it. Nobody needs to remove a pod: it
//! ends by itself, and its data with it; the next rehearsal removes what has ended.

mod pod;
mod scripts;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use plan::ids::{DataSetName, RunId};
use plan::ports::{Context, Event};
use plan::{Error, Result};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use super::client::Cluster;
use super::forward::{Forward, Trouble};
use super::target::{Target, is_ready};
use super::writers::look;
use super::writers::pods::{OURS, cannot_start, why_not_ready};
use super::writers::wait::{Ended, Look, until};
use super::writers::workload::{list, text, uid};

pub use pod::{DATABASE, FOLDER, USER};

/// Label on the pods, Secrets and policies of rehearsals: which data set they are for.
const OF_REHEARSAL: &str = "threescale-backup/rehearsal";
/// The container's name.
const CONTAINER: &str = "server";
/// How long to wait until a server can be used: an image may have to be pulled, a database makes its folder.
const READY_MAX: Duration = Duration::from_secs(600);
/// How long an image may be out of reach before it is an error.
const CANNOT_START_MAX: Duration = Duration::from_secs(60);

/// What is in a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerKind {
    /// MySQL or `MariaDB`.
    MySql,
    /// `PostgreSQL`.
    PostgreSql,
    /// Redis or Valkey.
    Redis,
    /// No server: a folder for files, and the programs of System's image.
    Files,
}

impl ServerKind {
    /// The port of the server.
    #[must_use]
    pub const fn port(self) -> u16 {
        match self {
            Self::MySql => 3306,
            Self::PostgreSql => 5432,
            Self::Redis => 6379,
            Self::Files => 0,
        }
    }

    /// The key of `[rehearse]` that names an image.
    const fn key(self) -> Option<&'static str> {
        match self {
            Self::MySql => Some("mysql-image"),
            Self::PostgreSql => Some("postgresql-image"),
            Self::Redis => Some("redis-image"),
            Self::Files => None,
        }
    }
}

/// How the pods of a rehearsal are made.
#[derive(Debug, Clone, Default)]
pub struct ServerOptions {
    /// The image, instead of that of the installation's own store.
    pub image: Option<String>,
    /// The most memory: `2Gi`. Of an image of the installation: as there, when nobody says otherwise.
    pub memory_limit: Option<String>,
    /// The most data: `20Gi`.
    pub volume_limit: Option<String>,
    /// After this long it ends, whoever has forgotten it.
    pub seconds_max: u64,
}

/// A throw-away server that runs. Dropping it removes its pod, and with it all that belongs to it.
pub struct Server {
    cluster: Cluster,
    name: String,
    image: String,
    password: SecretString,
    /// Where to dial it, and the forwarded port behind that.
    at: Option<(String, u16, Option<Forward>)>,
    is_removed: AtomicBool,
}

impl Server {
    /// The pod's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The image that it was made from.
    #[must_use]
    pub fn image(&self) -> &str {
        &self.image
    }

    /// The password of all its users.
    #[must_use]
    pub const fn password(&self) -> &SecretString {
        &self.password
    }

    /// Host and port to dial.
    ///
    /// # Errors
    /// When it is no server.
    pub fn address(&self) -> Result<(String, u16)> {
        let at = self.at.as_ref().map(|(host, port, _)| (host.clone(), *port));
        at.ok_or_else(|| Error::failed(format!("pod {} has no server", self.name)))
    }

    /// Whether it is reached by a forwarded port.
    #[must_use]
    pub const fn is_forwarded(&self) -> bool {
        matches!(self.at, Some((_, _, Some(_))))
    }

    /// What last went wrong with the forwarded port, since a time.
    #[must_use]
    pub fn trouble(&self, since: Instant) -> Option<Trouble> {
        self.at.as_ref()?.2.as_ref()?.trouble(since)
    }

    /// Removes its pod.
    ///
    /// # Errors
    /// When the server refuses it: the pod ends by itself later.
    pub fn remove(&self) -> Result<()> {
        if self.is_removed.load(Ordering::Relaxed) {
            return Ok(());
        }
        remove(&self.cluster, &self.name)?;
        self.is_removed.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// A place to run programs in its container.
    #[must_use]
    pub fn remote(&self) -> super::Container {
        self.cluster.remote(Target::pod(self.cluster.namespace(), &self.name), Some(CONTAINER))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Err(error) = self.remove() {
            log::warn!("pod {} stays until it ends by itself: {}", self.name, error.chain());
        }
    }
}

impl Cluster {
    /// Starts a throw-away server for a data set, and waits until it can be used. What fails on the way leaves nothing.
    ///
    /// # Errors
    /// [`plan::Class::Refused`] when nobody says which image; when it cannot be made, or cannot be used in time.
    pub fn rehearsal_server(&self, context: &Context, data_set: DataSetName, kind: ServerKind, options: &ServerOptions) -> Result<Server> {
        let seen = look::workloads(self)?;
        let workloads: Vec<&Value> = seen.workloads().map(|(_, object)| object).collect();
        let model = pod::model(&workloads, data_set, kind, options.image.as_deref()).ok_or_else(|| no_image(data_set, kind))?;
        let name = pod_name(&context.run, data_set);
        let made = pod::pod(&model, &pod::Wanted { name: &name, run: &context.run, data_set, kind, options });
        let image = text(&made, "/spec/containers/0/image").to_owned();
        context.watch.see(Event::Note(&format!("making pod {name} for {data_set} from image {image}")));
        let mut server = Server { cluster: self.clone(), name, image, password: password()?, at: None, is_removed: AtomicBool::new(false) };
        let there = self.post(&self.path("v1", "pods", None), &made)?;
        // The policy before the Secret: without that the server does not start.
        let policy = pod::policy(&there);
        self.post(&self.path("networking.k8s.io/v1", "networkpolicies", None), &policy)?;
        if kind != ServerKind::Files {
            let secret = pod::secret(&there, server.password.expose_secret());
            self.post(&self.path("v1", "secrets", None), &secret)?;
        }
        let ready = self.wait_for(context, &server.name, kind)?;
        if kind != ServerKind::Files {
            server.at = Some(self.way_into(&server.name, kind.port(), &ready)?);
        }
        Ok(server)
    }

    fn way_into(&self, name: &str, port: u16, ready: &Value) -> Result<(String, u16, Option<Forward>)> {
        if self.is_inside() {
            return Ok((text(ready, "/status/podIP").to_owned(), port, None));
        }
        let forward = self.forward(&Target::pod(self.namespace(), name), port)?;
        let address = forward.address();
        Ok((address.ip().to_string(), address.port(), Some(forward)))
    }

    /// Until the server can be used: the pod as it is then.
    fn wait_for(&self, context: &Context, name: &str, kind: ServerKind) -> Result<Value> {
        let began = Instant::now();
        let mut found = Value::Null;
        let way_out = kind.key().map(|key| format!("`[rehearse] {key}` names another image, `[rehearse] memory-limit` gives more memory."));
        let told = |error: Error| way_out.iter().fold(error, |error, hint| error.hint(hint.clone()));
        let ended = until(context, &format!("waiting for pod {name}"), READY_MAX, || {
            let pod = self.get(&self.path("v1", "pods", Some(name)))?;
            if let Some(why) = why_ended(&pod) {
                return Err(told(Error::failed(format!("pod {name} ended before it could be used: {why}"))));
            }
            if is_ready(&pod) {
                found = pod;
                return Ok(Look::Done);
            }
            if began.elapsed() > CANNOT_START_MAX
                && let Some(words) = cannot_start(&pod)
            {
                return Err(told(Error::failed(format!("pod {name} cannot start: {words}"))));
            }
            Ok(Look::Waiting(vec![why_not_ready(&pod).unwrap_or_else(|| format!("{name} is starting"))]))
        })?;
        match ended {
            Ended::Well => Ok(found),
            Ended::Late(reasons) => {
                let text = format!("pod {name} cannot be used after {} s: {}", READY_MAX.as_secs(), reasons.join("; "));
                Err(told(Error::failed(text)))
            }
        }
    }

    /// Removes the pods of earlier rehearsals that have ended, which nobody removed: their data went when they ended. Gives their names.
    ///
    /// # Errors
    /// When they cannot be listed or removed.
    pub fn remove_ended_rehearsals(&self) -> Result<Vec<String>> {
        let ours = self.list(&self.path("v1", "pods", None), Some(&format!("{}={},{OF_REHEARSAL}", OURS.0, OURS.1)))?;
        let has_ended = |pod: &&Value| matches!(text(pod, "/status/phase"), "Succeeded" | "Failed");
        let names: Vec<String> = ours.iter().filter(has_ended).map(|pod| text(pod, "/metadata/name").to_owned()).collect();
        names.iter().try_for_each(|name| remove(self, name))?;
        Ok(names)
    }
}

fn remove(cluster: &Cluster, name: &str) -> Result<()> {
    let options = json!({"gracePeriodSeconds": 0, "propagationPolicy": "Background"});
    match cluster.delete(&cluster.path("v1", "pods", Some(name)), &options) {
        Ok(_) => Ok(()),
        Err(error) if error.is_not_found() => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn no_image(data_set: DataSetName, kind: ServerKind) -> Error {
    let Some(key) = kind.key() else {
        return Error::refused(
            "there is neither system-sidekiq nor system-app in the namespace, whose image the pod for the files is made from",
        )
        .hint("`--only` rehearses the other data sets.");
    };
    let variable = format!("THREESCALE_BACKUP_REHEARSE_{}", key.to_uppercase().replace('-', "_"));
    Error::refused(format!("nobody says from which image the throw-away server for {data_set} is made: none of its kind runs in this namespace"))
        .hint(format!("Write `{key} = \"…\"` into section [rehearse] of the configuration, or set {variable}: an image that the cluster can pull, of the version that the set is of or a newer one (`show` says which)."))
        .hint("`--only` rehearses the other data sets.")
}

fn pod_name(run: &RunId, data_set: DataSetName) -> String {
    format!("threescale-backup-rehearsal-{}-{data_set}", run.short())
}

/// 128 random bits, which mean nothing to a URL, a shell or SQL.
fn password() -> Result<SecretString> {
    let mut bytes = [0_u8; 16];
    getrandom::fill(&mut bytes).map_err(|error| Error::failed("no random numbers").because(error))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into())
}

/// Why a pod has ended, with the last words of its server; `None` while it has not.
fn why_ended(pod: &Value) -> Option<String> {
    let phase = text(pod, "/status/phase");
    if !matches!(phase, "Succeeded" | "Failed") {
        return None;
    }
    let ended = list(pod, "/status/containerStatuses").iter().find_map(|status| status.pointer("/state/terminated"));
    let words = ended.map(|ended| {
        let said = text(ended, "/message").trim();
        let said = said.lines().rev().take(3).collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>().join(" / ");
        format!(
            "exit status {}{}",
            super::writers::workload::number(ended, "/exitCode"),
            if said.is_empty() { said } else { format!(": {said}") }
        )
    });
    let of_pod = [text(pod, "/status/reason"), text(pod, "/status/message")].into_iter().filter(|part| !part.is_empty()).map(str::to_owned);
    let all: Vec<String> = of_pod.chain(words).collect();
    Some(if all.is_empty() { phase.to_owned() } else { all.join(", ") })
}

/// Who owns what goes with a pod.
fn owner(pod: &Value) -> Value {
    json!([{"apiVersion": "v1", "kind": "Pod", "name": text(pod, "/metadata/name"), "uid": uid(pod)}])
}
