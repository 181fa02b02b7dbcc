"""What a road is: what is prepared, who takes turns, and what is cleaned up whatever happens."""
import dataclasses
import shutil
import sys
import traceback

from measuring import Failed, run
from results import OURS, PEER, STEP, Comparison


def say(text):
    print(f"bench: {text}", file=sys.stderr, flush=True)


@dataclasses.dataclass
class Candidate:
    """One who takes turns. `before` and `after` are not measured."""

    name: str
    #: Makes the commands of a turn, each reading what the one before prints.
    commands: object
    role: str = PEER
    before: object = None
    #: Is given what the last command said; may give seconds of steps within the turn; Failed when what was made is not whole.
    after: object = None
    #: Gives the bytes that the turn left behind.
    left: object = None


class Road:
    """One road. A subclass says what it needs, and compares."""

    #: What is measured, for people.
    about = ""

    def __init__(self, bench, name):
        self.bench, self.name, self.sizes = bench, name, bench.sizes
        self.folder = bench.work / name
        self.comparisons = []

    def servers(self):
        """Those whose CPU counts, and who must be at rest before a turn."""
        return []

    def needs(self):
        """Bytes of space."""
        return self.sizes.bytes * 10

    def prepare(self):
        """Makes what is measured."""

    def measure(self):
        """Compares, by `compare`."""
        raise NotImplementedError

    def clean_up(self):
        """Removes what is not in the folder."""

    def compare(self, name, candidates, about="", before_round=None):
        """Each takes its turn in each round. Who fails is not measured any more."""
        comparison = Comparison(self.name, name, about)
        self.comparisons.append(comparison)
        for candidate in candidates:
            comparison.line(candidate.name, candidate.role)
        for number in range(1, self.bench.rounds + 1):
            if before_round:
                before_round(number)
            for candidate in candidates:
                if comparison.line(candidate.name).why is None:
                    say(f"{self.name}, {name}, round {number}: {candidate.name}")
                    self.take_turn(comparison, candidate)
        return comparison

    def take_turn(self, comparison, candidate):
        line = comparison.line(candidate.name)
        try:
            if candidate.before:
                candidate.before()
            for server in self.servers():
                server.quiet()
            self.bench.sync()
            said = run(candidate.commands(), self.folder / "turn", [server.pid for server in self.servers()])
            if candidate.left:
                said.turn.left = candidate.left()
            steps = candidate.after(said.text) if candidate.after else None
        except Failed as failed:
            say(f"{self.name}: {candidate.name}: not measured: {failed}")
            line.give_up(str(failed))
            for step in comparison.lines:
                if step.role == STEP and step.name.startswith(f"{candidate.name}: "):
                    step.give_up(str(failed))
            return
        line.turns.append(dataclasses.asdict(said.turn))
        for name, seconds in (steps or {}).items():
            comparison.step(candidate.name, name).turns.append({"seconds": seconds})

    def go(self):
        """All of it; a road that breaks stops no other, and leaves nothing behind."""
        try:
            self.folder.mkdir(mode=0o700)
            self.bench.need_space(self.needs())
            say(f"{self.name}: preparing")
            self.prepare()
            self.measure()
        except Exception as error:
            if not isinstance(error, Failed):
                traceback.print_exc()
            self.not_measured(str(error) if isinstance(error, Failed) else f"{type(error).__name__}: {error}")
        finally:
            self.leave()

    def not_measured(self, why):
        """What was not measured yet has no number."""
        say(f"{self.name}: not measured: {why}")
        self.comparisons.append(Comparison(self.name, "the rest" if self.comparisons else "all of it"))
        self.comparisons[-1].line("threescale-backup", OURS).give_up(why)

    def leave(self):
        try:
            self.clean_up()
        except (Failed, OSError, ValueError) as failed:
            say(f"{self.name}: cleaning up: {failed}")
        if any(line.why is not None for comparison in self.comparisons for line in comparison.lines if line.role == OURS):
            # Nobody knows what is in them now: the next road gets others.
            self.bench.close_installation()
        shutil.rmtree(self.folder, ignore_errors=True)
