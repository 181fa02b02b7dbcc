"""Files of System in a mounted folder: many small ones, and few big ones, beside restic."""
import os
import random
import time

from measuring import Command, Failed, ask, size_of
from program import config_of, document, parts_of
from results import LIMIT, OURS
from roads.road import Candidate
from roads.store import StoreRoad

BLOCK = 1 << 20
#: What was changed less than a minute ago is read again by the program: a real installation has little of that.
SETTLED_SECONDS = 61


class Files(StoreRoad):
    """Half of the contents is noise, half is text."""

    def __init__(self, bench, name, number, size):
        super().__init__(bench, name)
        self.number, self.file_bytes = number, size

    def needs(self):
        # The files, two repositories, and one restore at a time.
        return self.number * max(self.file_bytes, 4096) * 4

    def prepare(self):
        self.tree, self.restored = self.folder / "volume" / "system", self.folder / "restored"
        self.noise = random.Random(3).randbytes(4 * BLOCK)
        for number in range(self.number):
            self.write(number)
        self.digest = self.contents(self.tree)
        self.program = self.bench.program(self.folder / "ours", config_of("system-storage", f'path = "{self.tree}"'))
        self.about_data = f"{self.number} files, {size_of(self.tree) >> 20} MiB; what was read before is in the kernel's memory, as far as it has room."

    def path(self, number):
        return self.tree / f"provider-{number % 97}" / f"{number // 97 % 50}" / f"{number}.png"

    def write(self, number):
        path = self.path(number)
        path.parent.mkdir(parents=True, exist_ok=True)
        # Small files are of different sizes, big ones are not.
        left = self.file_bytes if self.file_bytes >= BLOCK else self.file_bytes // 2 + number * 7919 % self.file_bytes
        generator = random.Random(number)
        with open(path, "wb") as file:
            while left:
                part = min(left, BLOCK)
                at = generator.randrange(len(self.noise) - BLOCK)
                # Different in each block, so that nothing deduplicates.
                text = b"%d of file %d\n" % (left, number)
                block = bytes(generator.randbytes(part // 2)) + self.noise[at:at + part // 4] + text * (part // 4 // len(text) + 1)
                file.write(block[:part])
                left -= part

    def contents(self, folder):
        """A digest of names and contents."""
        return ask(Command(["sh", "-c", 'cd "$1" && find . -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum', "-", folder]), self.folder)

    def whole(self):
        if self.contents(self.tree) != self.digest:
            raise Failed("what is in the folder after the restore is not what was there before")

    def came_back(self, text):
        # Until it is settled, the run keeps what was there in a folder of its own; `settle` is a line of its own, which compares.
        return parts_of(document(text))

    def settled(self, _):
        self.whole()

    def restic_backup(self):
        return [self.restic.command("backup", self.tree)]

    def peers_out(self):
        return [
            Candidate("restic backup", self.restic_backup, before=self.restic.fresh_repository, left=self.restic.size),
            Candidate("cat to nowhere", lambda: [Command(["find", self.tree, "-type", "f", "-exec", "cat", "{}", "+"], out="/dev/null")], LIMIT),
            Candidate("SHA-256 of the same bytes, one core", lambda: [Command(["find", self.tree, "-type", "f", "-exec", "cat", "{}", "+"]),
                                                                     Command(["openssl", "dgst", "-sha256"], out="/dev/null")], LIMIT),
        ]

    def peers_in(self):
        def empty():
            ask(Command(["rm", "-rf", self.restored]), self.folder)

        def compared(_):
            found = self.contents(self.restored / str(self.tree).lstrip("/"))
            empty()
            if found != self.digest:
                raise Failed("what it restored is not what was there")
        return [
            Candidate("threescale-backup settle", lambda: [self.program.command("settle", "--yes")], OURS, after=self.settled),
            Candidate("restic restore", lambda: [self.restic.command("restore", "latest", "--target", self.restored)], before=empty, after=compared),
            Candidate("cp -a", lambda: [Command(["cp", "-a", self.tree, self.restored])], LIMIT, before=empty, after=lambda _: empty()),
        ]

    def first_backup(self):
        """Two: of a large file the program knows all that it wants to know when it was read twice, in sets that come after the file has been left alone for a minute."""
        youngest = max(os.lstat(self.path(number)).st_ctime for number in range(self.number))
        time.sleep(max(0.0, youngest + SETTLED_SECONDS - time.time()))
        super().first_backup()
        self.program.call("backup")

    def peers_again(self):
        self.restic.fresh_repository()
        ask(self.restic_backup()[0], self.folder)
        return [Candidate("restic backup", self.restic_backup, before=self.note_theirs, left=lambda: self.restic.size() - self.had_theirs),
                Candidate("find -printf of all", lambda: [Command(["find", self.tree, "-printf", "%p %s %T@ %C@ %i\\n"], out="/dev/null")], LIMIT)]

    def change(self, which):
        """Big files: blocks are overwritten, at the end or here and there. Small files: whole files are."""
        if self.file_bytes < BLOCK:
            numbers = range(self.number - max(1, self.number // 100), self.number) if which == "newest" else range(0, self.number, 100)
            for number in numbers:
                with open(self.path(number), "r+b") as file:
                    file.write(os.urandom(64))
            return f"{len(numbers)} of {self.number} files"
        changed = 0
        for number in range(self.number):
            one_percent = max(1, self.file_bytes // 100 // 4096)
            with open(self.path(number), "r+b") as file:
                if which == "newest":
                    file.seek(-one_percent * 4096, os.SEEK_END)
                    file.write(os.urandom(one_percent * 4096))
                else:
                    for block in range(one_percent):
                        file.seek(block * 100 * 4096)
                        file.write(os.urandom(4096))
            changed += one_percent * 4096
        return f"{changed >> 10} KiB in {self.number} files"


ROADS = {"files-small": lambda bench, name: Files(bench, name, bench.sizes.small_files, 8_000),
         "files-big": lambda bench, name: Files(bench, name, *bench.sizes.big_files)}
