"""`check --read-data` of a repository, beside restic's own of the very same repository, which it can read."""
from measuring import Command, Failed
from program import document
from results import LIMIT, OURS
from roads.road import Candidate, Road


class Check(Road):
    def prepare(self):
        installation = self.bench.installation()
        self.program = self.bench.program(self.folder / "ours", installation.config)
        self.program.fresh_repository()
        self.program.call("backup")

    def measure(self):
        restic_env = {**self.program.as_restic(), "RESTIC_CACHE_DIR": str(self.folder / "cache")}

        def is_whole(text):
            if not document(text)["whole"]:
                raise Failed("the repository is not whole")
        packs = self.program.repository / "data"
        about = f"A repository of {self.program.size() >> 20} MiB, all five stores; what was read before is in the kernel's memory."
        self.compare("check --read-data", [
            Candidate("threescale-backup check --read-data", lambda: [self.program.command("--json", "check", "--read-data")], OURS, after=is_whole),
            Candidate("restic check --read-data", lambda: [Command(["restic", "check", "--read-data"], env=restic_env)]),
            Candidate("cat to nowhere", lambda: [Command(["find", packs, "-type", "f", "-exec", "cat", "{}", "+"], out="/dev/null")], LIMIT),
            Candidate("SHA-256 of the same bytes, one core", lambda: [Command(["find", packs, "-type", "f", "-exec", "cat", "{}", "+"]),
                                                                     Command(["openssl", "dgst", "-sha256"], out="/dev/null")], LIMIT),
        ], about)


ROADS = {"check": Check}
