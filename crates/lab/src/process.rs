//! A child process that the kernel ends with this process, however this one ends.
//!
//! `PR_SET_PDEATHSIG` (set by util-linux' `setpriv`, since `unsafe` is forbidden here) fires when the THREAD ends that
//! made the child, so all children are made by one thread that never ends.

use std::process::{Child, Command, ExitStatus};
use std::sync::OnceLock;
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use plan::error::During;
use plan::{Error, Result};
use rustix::process::{Pid, Signal, kill_process};

/// How long the children of a killed server may take to go.
const CHILDREN_LIMIT: Duration = Duration::from_secs(10);

type Order = (Command, Sender<std::io::Result<Child>>);

static STARTER: OnceLock<Sender<Order>> = OnceLock::new();

/// A running (or ended, not yet waited for) server process.
pub(crate) struct Process {
    child: Child,
}

impl Process {
    /// Starts what [`mortal`] made.
    pub(crate) fn start(command: Command) -> Result<Self> {
        let starter = STARTER.get_or_init(|| {
            let (orders, incoming) = channel::<Order>();
            std::thread::spawn(move || {
                for (mut command, answer) in incoming {
                    // A caller that went away gets no answer.
                    drop(answer.send(command.spawn()));
                }
            });
            orders
        });
        let (answer, answered) = channel();
        let name = format!("{:?}", command.get_args().find(|arg| arg.as_encoded_bytes().starts_with(b"/")).unwrap_or_default());
        starter.send((command, answer)).during(|| "reach the thread that starts processes".to_owned())?;
        let child = answered.recv().during(|| "hear from the thread that starts processes".to_owned())?;
        Ok(Self { child: child.during(|| format!("start {name}"))? })
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The status, when it has ended.
    pub(crate) fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.child.try_wait().during(|| "wait for a server".to_owned())
    }

    /// Asks it to end and waits.
    pub(crate) fn stop(&mut self, signal: Signal, limit: Duration) -> Result<ExitStatus> {
        self.send(signal)?;
        let end = Instant::now() + limit;
        loop {
            if let Some(status) = self.ended()? {
                return Ok(status);
            }
            if Instant::now() > end {
                self.kill();
                return Err(Error::failed(format!("server did not end within {} s", limit.as_secs())));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// SIGKILL to it and to its children (PostgreSQL's survive their parent for a moment otherwise), and waits.
    pub(crate) fn kill(&mut self) {
        let children = children(self.child.id());
        drop(self.child.kill());
        drop(self.child.wait());
        for child in children.iter().filter_map(|id| Pid::from_raw(id.cast_signed())) {
            // It may have ended already.
            kill_process(child, Signal::KILL).unwrap_or_default();
        }
        // What they share must be free before the server is started again.
        let end = Instant::now() + CHILDREN_LIMIT;
        while children.iter().any(|id| is_alive(*id)) && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Any signal, for tests that freeze a server (`STOP`, `CONT`).
    pub(crate) fn send(&self, signal: Signal) -> Result<()> {
        let Some(id) = Pid::from_raw(self.child.id().cast_signed()) else { return Ok(()) };
        kill_process(id, signal).during(|| format!("signal process {}", self.child.id()))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A command that ends with the process that runs it.
pub(crate) fn mortal(program: &std::path::Path) -> Result<Command> {
    let mut command = children::command(crate::programs::find("setpriv")?);
    command.args(["--pdeathsig", "KILL", "--"]).arg(program);
    Ok(command)
}

fn is_alive(id: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{id}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

fn children(id: u32) -> Vec<u32> {
    let text = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
    text.split_whitespace().filter_map(|id| id.parse().ok()).collect()
}
