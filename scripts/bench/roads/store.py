"""A road of one store: out, in, and out again after nothing, the newest 1 %, and 1 % here and there have changed."""
import shutil

from measuring import Command, ask, run, size_of
from program import PASSWORD, document, parts_of, write_private
from results import OURS
from roads.road import Candidate, Road

OUT, IN = "threescale-backup backup", "threescale-backup restore, whole"
CHANGES = (("nothing", "nothing changed"), ("newest", "the newest 1 % changed"), ("spread", "1 % here and there changed"))


class Restic:
    """A repository of restic's own, which keeps what the peer dumps."""

    def __init__(self, folder):
        self.folder, self.repository = folder, folder / "restic"
        password = folder / "restic.key"
        write_private(password, PASSWORD)
        self.env = {"RESTIC_REPOSITORY": str(self.repository), "RESTIC_PASSWORD_FILE": str(password), "RESTIC_CACHE_DIR": str(folder / "restic-cache")}

    def command(self, *arguments):
        return Command(["restic", "--quiet", *arguments], env=self.env)

    def fresh_repository(self):
        for folder in (self.repository, self.folder / "restic-cache"):
            shutil.rmtree(folder, ignore_errors=True)
        ask(self.command("init", "--repository-version", "latest"), self.folder)

    def keep(self):
        """What is given to it by the command before."""
        return self.command("backup", "--stdin", "--stdin-filename", "dump")

    def size(self):
        return size_of(self.repository)


class StoreRoad(Road):
    """What differs between the stores is in the subclasses."""

    #: A Program that knows this store alone, made in `prepare`.
    program = None
    #: What the store is, for the heads of tables.
    about_data = ""
    #: What the program read, before it is made smaller.
    bytes = None

    def peers_out(self):
        return []

    def peers_in(self):
        return []

    def stream(self):
        """The peer's dump as a stream that restic can keep; [] where there is none."""
        return []

    def change(self, which):
        """Changes `newest` or `spread`; gives how many rows, keys or files of how many, as a text."""
        raise NotImplementedError

    def whole(self):
        """Failed when what a restore made is not whole."""

    def measure(self):
        self.restic = Restic(self.folder)
        out = self.compare("out", [Candidate(OUT, lambda: [self.program.backup()], OURS, before=self.program.fresh_repository, after=self.took_out,
                                             left=self.program.size), *self.peers_out()], self.about_data)
        out.about += f" The program reads {self.bytes >> 20} MiB." if self.bytes else ""
        self.compare("in", [Candidate(IN, lambda: [self.program.restore()], OURS, after=self.came_back), *self.peers_in()],
                     "The program proves what it loads, and swaps it for the live data; the others do neither. What they loaded is counted, which is not measured.")
        self.again()

    def took_out(self, text):
        self.bytes = document(text)["bytes"]

    def came_back(self, text):
        parts = parts_of(document(text))
        self.whole()
        self.program.settle()
        return parts

    def again(self):
        """Repositories that have the first backup already; each change is seen by both."""
        self.first_backup()
        candidates = [Candidate("threescale-backup backup", lambda: [self.program.backup()], OURS, before=self.note_ours, after=self.took_out,
                                left=lambda: self.program.size() - self.had_ours)]
        candidates += self.peers_again()
        for which, name in CHANGES:
            self.changed = []
            comparison = self.compare(f"out again, {name}", candidates, before_round=lambda _, which=which: self.changing(which))
            comparison.about = f"LEFT is by what the repository grew.{' Changed in each round: ' + self.changed[0] + '.' if self.changed else ''}"

    def first_backup(self):
        self.program.fresh_repository()
        self.program.call("backup")

    def peers_again(self):
        """Restic, given what the peer dumps."""
        stream = self.stream()
        if not stream:
            return []
        self.restic.fresh_repository()
        name = " | ".join(str(command.argv[0]).rsplit("/", 1)[-1] for command in stream) + " | restic backup"
        return [Candidate(name, lambda: [*self.stream(), self.restic.keep()], before=self.note_theirs, left=lambda: self.restic.size() - self.had_theirs)]

    def note_ours(self):
        self.had_ours = self.program.size()

    def note_theirs(self):
        if not list((self.restic.repository / "snapshots").iterdir()):
            run([*self.stream(), self.restic.keep()], self.folder / "turn")
        self.had_theirs = self.restic.size()

    def changing(self, which):
        if which != "nothing":
            self.changed.append(self.change(which))
