"""What looks at many sets and many journals: `list`, and `forget --prune` as it is shown before anybody agrees; beside restic's list of the same repository."""
import re

from measuring import Command, Failed, ask
from program import config_of
from results import OURS
from roads.road import Candidate, Road

PASSWORD = "pw"


class Sets(Road):
    def prepare(self):
        (self.folder / "files").mkdir()
        (self.folder / "files" / "file").write_text("content\n")
        self.some = self.make("some", self.sizes.sets, 1)
        self.many = self.make("many", 2 * self.sizes.sets, 10)
        self.copy_journals()

    def make(self, name, sets, installations):
        """A repository with so many sets, and a program that knows it."""
        config = config_of("system-storage", f'path = "{self.folder / "files"}"').replace('name = "bench"', 'name = "installation-0"')
        program = self.bench.program(self.folder / name, config)
        program.password_file.write_text(PASSWORD + "\n")
        ask(Command([self.bench.programs["many-sets"], program.repository, PASSWORD, str(sets), str(installations)]), self.folder)
        return program

    def copy_journals(self):
        """Of one backup so many journals."""
        self.some.call("backup")
        runs = self.some.folder / "state" / "runs"
        journals = sorted(runs.glob("*.jsonl"))
        if not journals:
            raise Failed(f"no journals in {runs.name}")
        run = journals[0].stem
        text = journals[0].read_text()
        for number in range(1000, 999 + self.sizes.journals):
            copy = re.sub(r".{4}$", str(number), run)
            (runs / f"{copy}.jsonl").write_text(text.replace(run, copy))

    def measure(self):
        def ours(program, *arguments):
            return Candidate(f"threescale-backup {' '.join(arguments)}", lambda: [program.command(*arguments)], OURS)

        def restic(program):
            env = {**program.as_restic(), "RESTIC_CACHE_DIR": str(self.folder / "cache")}
            return Candidate("restic snapshots (each store of a set is one)", lambda: [Command(["restic", "snapshots", "--json"], env=env)])
        sets = self.sizes.sets
        self.compare(f"list, {sets} sets, {self.sizes.journals} journals", [ours(self.some, "list"), restic(self.some)])
        self.compare(f"list, {2 * sets} sets of ten installations", [ours(self.many, "list", "--all-installations"), restic(self.many)])
        self.compare(f"list of one of ten installations, {2 * sets} sets", [ours(self.many, "list")])
        self.compare(f"forget --prune, shown, {2 * sets} sets", [ours(self.many, "forget", "--keep-daily", "7", "--prune")])


ROADS = {"sets": Sets}
