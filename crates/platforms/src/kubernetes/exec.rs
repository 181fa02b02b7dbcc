//! Programs in a container of a pod ([`plan::ports::Remote`]), over the API server's exec.
//!
//! A stream counts as whole only when the API server says that the script ended well *and* what came has the length and digest that the script found at the
//! source. Everything else is an error: an API server or a connection that ends early looks like an end of output otherwise.

mod pump;
mod script;
mod streams;

use std::sync::Arc;

use plan::Result;
use plan::ports::{Context, Ended, Input, Process, Program, Remote};
use secrecy::ExposeSecret;
use std::io::Read;

use super::client::Cluster;
use super::request::path_in;
use super::target::Target;
use super::websocket;
use pump::{Ending, Pump};
use streams::{Output, Stdin};

/// Both binary versions; version 5 differs in a way to close single channels only, which is not used.
const PROTOCOLS: &str = "v5.channel.k8s.io, v4.channel.k8s.io";
/// Pieces of output on their way, of 32 KiB each mostly.
const OUTPUT_QUEUE: usize = 32;
/// Frames of input on their way, of 1 MiB each.
const INPUT_QUEUE: usize = 2;

/// A container where programs run. The pod is found anew at each start: pods get replaced.
#[derive(Clone)]
pub struct Container {
    cluster: Cluster,
    target: Target,
    container: Option<String>,
}

impl Cluster {
    /// A place to run programs: a container of a pod, or of whichever pod a workload or Service has. Without a name, the pod's first container.
    #[must_use]
    pub fn remote(&self, target: Target, container: Option<&str>) -> Container {
        Container { cluster: self.clone(), target, container: container.map(str::to_owned) }
    }
}

impl Remote for Container {
    fn place(&self) -> String {
        match &self.container {
            Some(container) => format!("{}, container {container}", self.target),
            None => self.target.to_string(),
        }
    }

    fn start(&self, context: &Context, program: &Program) -> Result<Box<dyn Process>> {
        context.stop.check()?;
        let pod = self.cluster.find_pod(&self.target, self.container.as_deref())?;
        let mark = script::Mark::new()?;
        let greeting = script::greeting(&mark, program)?;
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.extend_pairs([("stdin", "true"), ("stdout", "true"), ("stderr", "true")]);
        if let Some(container) = self.container.as_ref().or_else(|| pod.containers.first()) {
            query.append_pair("container", container);
        }
        query.extend_pairs(script::command_line(program).iter().map(|word| ("command", word)));
        let path = format!("{}/exec?{}", path_in(self.target.namespace(), "v1", "pods", Some(&pod.name)), query.finish());
        let line = self.cluster.line();
        let socket = self.cluster.run(async move { websocket::open(&line, &path, PROTOCOLS).await })?;

        let alive = Arc::new(websocket::Alive::new(self.cluster.stall()));
        let (to_output, from_pump) = tokio::sync::mpsc::channel(OUTPUT_QUEUE);
        let (to_pump, from_input) = tokio::sync::mpsc::channel(INPUT_QUEUE);
        let (ended, ending) = tokio::sync::oneshot::channel();
        let secrets =
            program.environment.iter().map(|(_, value)| value.clone()).filter(|value| !value.expose_secret().is_empty()).collect();
        let pump = Pump {
            place: format!("pod {}", pod.name),
            alive,
            output: to_output,
            input: from_input,
            stop: context.stop.clone(),
            trailer: script::Trailer::new(mark),
            secrets,
        };
        let task = self.cluster.handle().spawn(pump.run(socket, greeting, ended));
        let input = if program.takes_input {
            Some(Stdin::new(to_pump))
        } else {
            to_pump.try_send(streams::Outgoing::End(script::no_input())).ok();
            None
        };
        let output = Some(Output::new(from_pump));
        Ok(Box::new(Running { input, output, ending, task: Task(task), place: pod.name, _cluster: self.cluster.clone() }))
    }
}

/// A program that runs in a container.
struct Running {
    input: Option<Stdin>,
    output: Option<Output>,
    ending: tokio::sync::oneshot::Receiver<Ending>,
    task: Task,
    place: String,
    /// Keeps the runtime that carries the streams.
    _cluster: Cluster,
}

impl Process for Running {
    fn input(&mut self) -> Option<Box<dyn Input>> {
        self.input.take().map(|input| Box::new(input) as Box<dyn Input>)
    }

    fn output(&mut self) -> Option<Box<dyn Read + Send>> {
        self.output.take().map(|output| Box::new(output) as Box<dyn Read + Send>)
    }

    fn finish(self: Box<Self>) -> Result<Ended> {
        let Self { input, output, ending, task, place, _cluster } = *self;
        // An input that nobody took will never end; one whose end was not said is an error.
        drop(input);
        if let Some(mut output) = output {
            // Nobody wants it; its end is needed all the same.
            std::io::copy(&mut output, &mut std::io::sink()).ok();
        }
        let ending = ending.blocking_recv();
        drop(task);
        ending
            .unwrap_or_else(|_| Err(pump::Broken::new(plan::Class::Failed, "its streams were dropped")))
            .map_err(|broken| broken.error(&place))
    }
}

/// Ends the task, and with it the connection and the program, when it is dropped.
struct Task(tokio::task::JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests;
