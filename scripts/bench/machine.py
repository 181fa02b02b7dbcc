"""On what it was measured: machine, versions of all programs, commit."""
import os
import pathlib
import re

from measuring import Command, Failed, ask

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
#: How each peer says its version.
PEERS = {"mariadb-dump": ["mariadb-dump", "--version"], "mydumper": ["mydumper", "--version"], "pg_dump": ["pg_dump", "--version"], "redis-cli": ["redis-cli", "--version"],
         "restic": ["restic", "version"], "rclone": ["rclone", "version"], "gzip": ["gzip", "--version"], "zstd": ["zstd", "--version"], "openssl": ["openssl", "version"]}


def said_by(*argv):
    try:
        return ask(Command(list(argv)), ROOT).strip()
    except Failed:
        return ""


def versions():
    found = {}
    for name, argv in PEERS.items():
        said = said_by(*argv)
        # MariaDB's programs say their own version first, then that of what they came with.
        number = re.search(r"([0-9]+(?:\.[0-9]+)+)", said.partition("Distrib")[2] or said)
        found[name] = number[1] if number else "(not there)"
    return found


def load():
    return " ".join(f"{value:.2f}" for value in os.getloadavg())


def commit():
    head = said_by("git", "rev-parse", "--short", "HEAD") or "unknown"
    return head + (" with changes" if said_by("git", "status", "--porcelain", "--untracked-files=no") else "")


def about():
    processor = re.search(r"^model name\s*: (.*)$", pathlib.Path("/proc/cpuinfo").read_text(), re.M)
    memory = re.search(r"^MemTotal:\s*([0-9]+)", pathlib.Path("/proc/meminfo").read_text(), re.M)
    name = f"{os.cpu_count()} cores of {processor[1] if processor else os.uname().machine}"
    return f"{name}, {int(memory[1]) / (1 << 20):.1f} GiB of memory, Linux {os.uname().release}"
