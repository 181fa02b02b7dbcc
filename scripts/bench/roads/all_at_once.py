"""All five stores at once, against the sum of each alone; their memory, and the cut-over."""
from program import STORES, document, parts_of
from measuring import Failed
from results import OURS, PEER
from roads.road import Candidate, Road

ALL, SUM = "all at once", "the five one after the other (sum)"


class AllAtOnce(Road):
    def prepare(self):
        self.installation = self.bench.installation()
        self.program = self.bench.program(self.folder / "ours", self.installation.config)

    def servers(self):
        return [self.installation.mysql, self.installation.postgres, self.installation.redis]

    def measure(self):
        def out(name, *only):
            return Candidate(name, lambda: [self.program.backup(*only)], OURS, before=self.program.fresh_repository, after=lambda text: document(text) and None,
                             left=self.program.size)
        backups = self.compare("backup", [out(ALL), *(out(store, "--only", store) for store in STORES)], "The whole installation, and each store alone, into a fresh repository.")
        self.add_up(backups)
        # All restores are of one set that has everything.
        self.program.fresh_repository()
        self.program.call("backup")
        self.compare("backup again, nothing changed", [Candidate(ALL, lambda: [self.program.backup()], OURS)])

        def back(name, *only):
            return Candidate(name, lambda: [self.program.restore(*only)], OURS, after=lambda text: self.came_back(text, not only))
        restores = self.compare("restore", [back(ALL), *(back(store, "--only", store) for store in STORES)], "With stage, proof and cut-over; nobody writes meanwhile.")
        self.add_up(restores)

    def came_back(self, text, is_all):
        """What the swap took, and where it is of all stores, of each."""
        run = document(text)
        if run["state"] != "finished":
            raise Failed(f"the restore is {run['state']}")
        self.program.settle()
        parts = {"cut-over": parts_of(run)["cut-over"]}
        if is_all:
            parts.update((step["action"], step["duration_ms"] / 1000) for step in run["steps"] if step["action"].startswith("cut over "))
        return parts

    @staticmethod
    def add_up(comparison):
        """A line for the sum of the stores, round by round; its memory is the largest."""
        alone = [comparison.line(store) for store in STORES]
        total = comparison.line(SUM, PEER)
        missing = [line.name for line in alone if not line.turns]
        if missing:
            total.give_up(f"not measured: {', '.join(missing)}")
            return
        for turns in zip(*(line.turns for line in alone)):
            added = {what: sum(turn[what] or 0 for turn in turns) for what in ("seconds", "client", "server")}
            total.turns.append({**added, "peak": max(turn["peak"] or 0 for turn in turns), "child": None, "left": sum(turn["left"] or 0 for turn in turns) or None})


ROADS = {"all-at-once": AllAtOnce}
