"""Runs commands and says what they took: time, CPU of the client with all its processes, CPU of the servers, memory.

Memory is VmHWM, read every 20 ms: growth in the last 20 ms is not seen. A command that fails, or does not end, is Failed, and never a number.
"""
import dataclasses
import json
import os
import pathlib
import signal
import subprocess
import threading
import time

TICK = os.sysconf("SC_CLK_TCK")
EVERY_SECONDS = 0.02
LIMIT_SECONDS = 4 * 3600


class Failed(Exception):
    """Why something is not measured."""


@dataclasses.dataclass
class Command:
    """A program with its arguments. Without `out` what it prints goes to the next command, or is kept; None for a file is its absence."""

    argv: list
    env: dict = dataclasses.field(default_factory=dict)
    stdin: object = None
    out: object = None
    #: Exit codes that are no failure.
    fine: tuple = (0,)


@dataclasses.dataclass
class Turn:
    """What one turn took. `peak` is the largest of the commands, `child` the largest of the processes that they started."""

    seconds: float
    client: float = None
    server: float = None
    peak: int = None
    child: int = None
    left: int = None


@dataclasses.dataclass
class Said:
    """The turn, and what the last command printed."""

    turn: Turn
    text: str


def cpu_of(pid):
    """CPU seconds of a process, of those children that it waited for, and of those that are there (PostgreSQL's sessions, Redis' child)."""
    try:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        raise Failed("a server has ended") from None
    ticks = sum(int(field) for field in fields[11:15])
    for child in children_of(pid):
        try:
            of_child = pathlib.Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()
            ticks += int(of_child[11]) + int(of_child[12])
        except OSError:
            pass  # It ended meanwhile.
    return ticks / TICK


def children_of(pid):
    found = []
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            found += pathlib.Path(f"/proc/{pid}/task/{task}/children").read_text().split()
    except OSError:
        pass
    return [int(child) for child in found]


def peak_of(pid):
    """Bytes of VmHWM; 0 when the process is gone."""
    try:
        for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0


def program_of(pid):
    try:
        return os.readlink(f"/proc/{pid}/exe")
    except OSError:
        return None


class Watcher(threading.Thread):
    """Looks at the memory of processes until it is told to end, and ends them when they take too long."""

    def __init__(self, pids):
        super().__init__(daemon=True)
        self.pids, self.peak, self.child = pids, 0, 0
        self.over, self.is_late = threading.Event(), False
        self.own = program_of(os.getpid())

    def look(self):
        for pid in self.pids:
            program = program_of(pid)
            if program in (None, self.own):
                continue  # Until its exec, a fork shows what its parent took.
            self.peak = max(self.peak, peak_of(pid))
            below = children_of(pid)
            while below:
                child = below.pop()
                below += children_of(child)
                if program_of(child) not in (None, program):
                    self.child = max(self.child, peak_of(child))

    def run(self):
        end = time.monotonic() + LIMIT_SECONDS
        while not self.over.wait(EVERY_SECONDS):
            self.look()
            if time.monotonic() > end and not self.is_late:
                self.is_late = True
                end_all(self.pids)


def end_all(pids):
    for pid in pids:
        try:
            os.killpg(pid, signal.SIGTERM)
        except OSError:
            pass  # It has ended.


def start(commands, folder):
    """All at once, in a group of processes each; what one prints is what the next one reads."""
    children, before = [], None
    try:
        for at, command in enumerate(commands):
            is_last, handles = at + 1 == len(commands), []
            stdin = before
            if command.stdin is not None or before is None:
                stdin = open(command.stdin or os.devnull, "rb")
                handles.append(stdin)
            if command.out is not None or is_last:
                stdout = open(command.out or folder / "out", "wb")
                handles.append(stdout)
            else:
                stdout = subprocess.PIPE
            stderr = open(folder / f"err-{at}", "wb")
            handles.append(stderr)
            try:
                child = subprocess.Popen([str(word) for word in command.argv], stdin=stdin, stdout=stdout, stderr=stderr,
                                         env={**os.environ, **command.env}, start_new_session=True)
            except OSError as error:
                raise Failed(f"{command.argv[0]}: {error.strerror}") from None
            finally:
                for handle in handles:
                    handle.close()
                if before is not None:
                    before.close()
            children.append(child)
            before = child.stdout
    except BaseException:
        finish(children)
        raise
    return children


def finish(children):
    """Ends what still runs, and waits for it."""
    running = [child for child in children if child.returncode is None]
    end_all([child.pid for child in running])
    for child in running:
        try:
            child.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()


def reason(folder, commands, children):
    """Why a turn failed: the first lines that the command said which failed last, for it may have been the cause of the others' end."""
    for at in reversed(range(len(children))):
        if children[at].returncode not in commands[at].fine:
            lines = []
            for file in (folder / f"err-{at}", folder / "out" if at + 1 == len(children) else None):
                if file and file.exists():
                    with open(file, errors="replace") as opened:
                        lines += [line.strip() for line in opened.read(20_000).splitlines() if line.strip()]
            # Some say first what they were about to do.
            errors = [line for line in lines if "error" in line.lower()] or lines
            said = " ".join(told(line) for line in errors[:3])[:300] or "it said nothing"
            return f"{os.path.basename(str(commands[at].argv[0]))} failed ({children[at].returncode}): {said}"
    return None


def told(line):
    """A line as a person reads it: of the program's document of an error, what failed and why."""
    try:
        error = json.loads(line)
        return ": ".join([error["error"], *error["causes"]])
    except (ValueError, KeyError, TypeError):
        return line


def run(commands, folder, pids=()):
    """Gives what the commands took, together with what servers of these pids did meanwhile."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    cpu_before = sum(cpu_of(pid) for pid in pids)
    began = time.monotonic()
    children = start(commands, folder)
    watcher = Watcher([child.pid for child in children])
    watcher.start()
    try:
        client = 0.0
        for child in children:
            _, status, used = os.wait4(child.pid, 0)
            child.returncode = os.waitstatus_to_exitcode(status)
            client += used.ru_utime + used.ru_stime
        seconds = time.monotonic() - began
    finally:
        watcher.over.set()
        watcher.join()
        finish(children)
    if watcher.is_late:
        raise Failed(f"it did not end within {LIMIT_SECONDS} s")
    why = reason(folder, commands, children)
    if why:
        raise Failed(why)
    server = sum(cpu_of(pid) for pid in pids) - cpu_before if pids else None
    last = commands[-1]
    text = "" if last.out is not None else (folder / "out").read_text(errors="replace")
    return Said(Turn(seconds, client, server, watcher.peak or None, watcher.child or None), text)


def size_of(path):
    """Bytes of the files there, each name once."""
    path = pathlib.Path(path)
    if path.is_file():
        return path.stat().st_size
    return sum(os.lstat(os.path.join(root, name)).st_size for root, _, names in os.walk(path) for name in names)


def need_space(folder, wanted):
    free = os.statvfs(folder)
    free = free.f_bavail * free.f_frsize
    if free < wanted:
        raise Failed(f"it needs {wanted >> 20} MiB of space, and {folder} has {free >> 20} MiB")


def ask(command, folder, text=None):
    """What a command says, unmeasured. `text` is what it reads."""
    try:
        done = subprocess.run([str(word) for word in command.argv], env={**os.environ, **command.env}, input=text, capture_output=True,
                              cwd=folder, text=True, errors="replace", timeout=LIMIT_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Failed(f"{command.argv[0]}: {error}") from None
    if done.returncode not in command.fine:
        said = told(" ".join((done.stderr + done.stdout).split()))[:300]
        raise Failed(f"{os.path.basename(str(command.argv[0]))} failed ({done.returncode}): {said or 'it said nothing'}")
    return done.stdout
