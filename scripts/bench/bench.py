"""What all roads share: sizes, programs, the folder of this run, and the throw-away servers, of which one installation runs at a time."""
import os
import shutil
import subprocess
import tempfile
import pathlib

import measuring
from program import Program
from servers import Installation

#: So little that an installation is there at once, for roads that bring their own data.
LEAST = "1M"


class Bench:
    def __init__(self, sizes, rounds, programs):
        self.sizes, self.rounds, self.programs = sizes, rounds, programs
        self.work = pathlib.Path(tempfile.mkdtemp(prefix="threescale-bench-"))
        self.running, self.number, self.versions = None, 0, {}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            self.close_installation()
        finally:
            shutil.rmtree(self.work, ignore_errors=True)

    def installation(self, kind="mysql", size=None):
        """The one that runs, when it is of this kind and size; else another one, filled."""
        size = size or self.sizes.text
        if self.running and (self.running.kind, self.running.size) == (kind, size):
            return self.running
        self.close_installation()
        self.number += 1
        self.running = Installation(self.programs["installation"], size, kind, self.work / f"installation-{self.number}")
        self.versions[f"server of {kind}"] = self.running.mysql.version()
        self.versions["server of PostgreSQL"] = self.running.postgres.version()
        self.versions["server of Redis"] = self.running.redis.version()
        return self.running

    def any_installation(self):
        """The one that runs, whatever is in it; else a small one."""
        return self.running or self.installation(size=LEAST)

    def close_installation(self):
        running, self.running = self.running, None
        if running:
            running.close()

    def program(self, folder, config):
        return Program(self.programs["program"], folder, config)

    def need_space(self, wanted):
        measuring.need_space(self.work, wanted)

    @staticmethod
    def sync():
        """What one turn wrote is on the disk before the next one begins."""
        os.sync()

    def version(self):
        return subprocess.run([self.programs["program"], "--version"], capture_output=True, text=True, check=True).stdout.split("\n")[0]
