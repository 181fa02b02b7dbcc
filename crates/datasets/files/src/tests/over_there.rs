//! A place that is this machine: real `sh`, `tar`, `find` and `mv` behind the port, all but the network. And the ways in which it breaks.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Stdio};
use std::thread::JoinHandle;

use plan::ports::{Ended, Input, Process, Program, Remote};

use super::*;
use crate::RemoteFilesStore;

/// How the place breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Fault {
    #[default]
    None,
    /// Output breaks after so many bytes, of programs that write that much.
    Reset(u64),
    /// Input breaks after so many bytes.
    Deaf(u64),
    /// How programs whose script holds this text ended cannot be known.
    Vanishes(&'static str),
    /// Programs whose script holds this text exit so, whatever they did.
    Status(&'static str, i32),
}

/// See the module.
#[derive(Default)]
pub(super) struct LocalRemote {
    pub(super) fault: Fault,
    /// A folder with programs that are found before the real ones.
    pub(super) shims: Option<PathBuf>,
    /// What leads to another place: `kubectl exec -i POD --`.
    pub(super) through: Vec<String>,
    /// Runs programs as another user.
    pub(super) uid: Option<u32>,
    pub(super) started: Mutex<Vec<String>>,
}

pub(super) fn pod(path: &Path) -> RemoteFilesStore {
    pod_of(path, LocalRemote::default())
}

pub(super) fn pod_of(path: &Path, remote: LocalRemote) -> RemoteFilesStore {
    let path = path.to_str().unwrap().to_owned();
    RemoteFilesStore::new(DataSetName::SystemStorage, Arc::new(remote), path, Options::default())
}

pub(super) fn pod_backup(path: &Path) -> (Arc<Memory>, KeptDataSet) {
    keep(pod(path).dump(&context()).unwrap()).unwrap()
}

impl Remote for LocalRemote {
    fn place(&self) -> String {
        "pod here".to_owned()
    }

    fn start(&self, _context: &Context, program: &Program) -> Result<Box<dyn Process>> {
        let script = program.command.get(2).cloned().unwrap_or_default();
        let words: Vec<_> = self.through.iter().chain(&program.command).collect();
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).current_dir("/").process_group(0);
        if let Some(shims) = &self.shims {
            command.env("PATH", format!("{}:{}", shims.display(), std::env::var("PATH").unwrap()));
        }
        if let Some(uid) = self.uid {
            command.uid(uid).gid(uid);
        }
        command.stdin(if program.takes_input { Stdio::piped() } else { Stdio::null() }).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| Error::failed("start").because(error))?;
        self.started.lock().unwrap().push(script.clone());
        let mut stderr = child.stderr.take().unwrap();
        let said = std::thread::spawn(move || {
            let mut said = Vec::new();
            stderr.read_to_end(&mut said).ok();
            said.truncate(64 << 10);
            String::from_utf8_lossy(&said).into_owned()
        });
        Ok(Box::new(LocalProcess { child, said: Some(said), fault: self.fault, script }))
    }
}

struct LocalProcess {
    child: Child,
    said: Option<JoinHandle<String>>,
    fault: Fault,
    script: String,
}

impl Process for LocalProcess {
    fn input(&mut self) -> Option<Box<dyn Input>> {
        let left = if let Fault::Deaf(bytes) = self.fault { bytes } else { u64::MAX };
        self.child.stdin.take().map(|to| Box::new(LocalInput { to, left }) as Box<dyn Input>)
    }

    fn output(&mut self) -> Option<Box<dyn Read + Send>> {
        let from = self.child.stdout.take()?;
        match self.fault {
            Fault::Reset(bytes) => Some(Box::new(Breaking { from, left: bytes })),
            _ => Some(Box::new(from)),
        }
    }

    fn finish(mut self: Box<Self>) -> Result<Ended> {
        let status = self.child.wait().unwrap();
        let said = self.said.take().unwrap().join().unwrap();
        match self.fault {
            Fault::Vanishes(text) if self.script.contains(text) => return Err(Error::transient("the connection broke")),
            Fault::Status(text, status) if self.script.contains(text) => return Ok(Ended { status, said }),
            _ => {}
        }
        let status = status.code().ok_or_else(|| Error::transient("the program was killed"))?;
        Ok(Ended { status, said })
    }
}

impl Drop for LocalProcess {
    fn drop(&mut self) {
        let group = rustix::process::Pid::from_child(&self.child);
        if matches!(self.child.try_wait(), Ok(None)) {
            rustix::process::kill_process_group(group, rustix::process::Signal::KILL).ok();
            self.child.wait().ok();
        }
    }
}

struct LocalInput {
    to: ChildStdin,
    left: u64,
}

impl Write for LocalInput {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() as u64 > self.left {
            return Err(io::Error::other(Error::transient("the connection broke")));
        }
        self.left -= bytes.len() as u64;
        self.to.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

impl Input for LocalInput {
    fn end(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

struct Breaking<R> {
    from: R,
    left: u64,
}

impl<R: Read> Read for Breaking<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let read = self.from.read(&mut buffer[..wanted])?;
        self.left -= read as u64;
        if read == 0 && self.left == 0 {
            return Err(io::Error::other(Error::transient("the connection broke")));
        }
        Ok(read)
    }
}
