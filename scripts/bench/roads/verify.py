"""`verify`: whether the stores agree, live and in a set. Nobody else does that, so there is no peer."""
from measuring import Command
from results import LIMIT, OURS
from roads.road import Candidate, Road


class Verify(Road):
    def prepare(self):
        self.installation = self.bench.installation()
        self.program = self.bench.program(self.folder / "ours", self.installation.config)
        self.program.fresh_repository()
        self.program.call("backup")

    def servers(self):
        return [self.installation.mysql, self.installation.postgres, self.installation.redis]

    def measure(self):
        def verify(name, *arguments):
            def commands():
                command = self.program.command("--json", "verify", "--again-after", "0", *arguments)
                # 1: there are differences, which lab makes on purpose.
                command.fine = (0, 1)
                return [command]
            return Candidate(name, commands, OURS)
        packs = self.program.repository / "data"
        self.compare("verify, live", [verify("threescale-backup verify")], "Of live stores that differ a second look is taken at once.")
        self.compare("verify, a set", [verify("threescale-backup verify latest", "latest"),
                                       Candidate("cat of the repository", lambda: [Command(["find", packs, "-type", "f", "-exec", "cat", "{}", "+"], out="/dev/null")], LIMIT)])


ROADS = {"verify": Verify}
