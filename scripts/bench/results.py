"""What was measured: comparisons of lines, lines of turns. Medians, ratios and spreads are made from the turns when they are read.

The JSON has what is here, so that a later run can be held against it (`against.py`).
"""
import dataclasses
import statistics

FORMAT = 1
#: Who a line is: the program; a step within its turn; who does the same with what Debian has; what no program can do faster.
OURS, STEP, PEER, LIMIT = "ours", "step", "peer", "limit"


@dataclasses.dataclass
class Line:
    """One who took turns, or why there is no number."""

    name: str
    role: str
    turns: list = dataclasses.field(default_factory=list)
    why: str = None

    def give_up(self, why):
        """From now on it has no number, whatever it had."""
        self.turns, self.why = [], why

    def values(self, what):
        return [turn[what] for turn in self.turns if turn.get(what) is not None]

    def median(self, what):
        values = self.values(what)
        return statistics.median(values) if values else None

    def spread(self, what):
        """From the lowest to the highest, as a part of the median."""
        values = self.values(what)
        middle = self.median(what)
        return (max(values) - min(values)) / middle if middle else 0.0


@dataclasses.dataclass
class Comparison:
    """Lines that took turns on the same data, A B A B."""

    road: str
    name: str
    about: str = ""
    lines: list = dataclasses.field(default_factory=list)

    def line(self, name, role=PEER):
        for line in self.lines:
            if line.name == name:
                return line
        self.lines.append(Line(name, role))
        return self.lines[-1]

    def step(self, of, name):
        """A step within the turns of a line, which stands below it."""
        name = f"{of}: {name}"
        if not any(line.name == name for line in self.lines):
            at = max(at for at, line in enumerate(self.lines) if line.name == of or line.name.startswith(f"{of}: "))
            self.lines.insert(at + 1, Line(name, STEP))
        return self.line(name)

    def bases(self):
        """The program's lines that peers are held against: its stages of a restore where there are some, else its calls."""
        measured = [line for line in self.lines if line.turns]
        steps = [line for line in measured if line.role == STEP and line.name.split(": ")[-1] in ("stage", "stage + prove")]
        return steps or [line for line in measured if line.role == OURS][:1]


def to_json(about, comparisons):
    return {"format": FORMAT, **about, "comparisons": [dataclasses.asdict(comparison) for comparison in comparisons]}


def from_json(document):
    """The comparisons of a file; ValueError when it is none of ours."""
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise ValueError(f"no results of format {FORMAT}")
    return [Comparison(**{**one, "lines": [Line(**line) for line in one["lines"]]}) for one in document["comparisons"]]
