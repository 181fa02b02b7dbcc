"""Holds a run against an earlier one: what got slower, or larger, beyond the noise.

A line of the program got worse when its median grew by more than the noise, by more than FLOOR, and by more than what no clock tells apart. The noise is
the largest spread of the line, and of what is usual in its comparison, in either run; few turns show little of it, so it counts for more then.
Where the time of all its peers grew too, the machine was slower: only what the line grew beyond the least of them counts.
"""
import dataclasses
import statistics

from results import OURS, PEER, STEP

FLOOR = 0.05
#: By how many spreads of so many turns two medians may differ by chance: three standard deviations, as a range of so many normal values shows them.
WIDER = {2: 2.7, 3: 1.8, 4: 1.3}
#: What is compared, its name, and how much of it is nothing.
MEASURES = (("seconds", "time", 0.05), ("client", "CPU", 0.05), ("peak", "memory", 4 << 20), ("left", "what is stored", 64 << 10))


@dataclasses.dataclass
class Change:
    road: str
    comparison: str
    line: str
    text: str

    def __str__(self):
        return f"{self.road}, {self.comparison}, {self.line}: {self.text}"


def growth(before, now, what):
    """How many times the median became; None where one has none."""
    old, new = before.median(what), now.median(what)
    return new / old if old and new else None


def machine(before, now):
    """How much slower the least slowed of the peers became: never less than 1."""
    pairs = [(line, other) for line in before.lines for other in now.lines if line.role == other.role == PEER and line.name == other.name]
    grown = [value for value in (growth(old, new, "seconds") for old, new in pairs) if value is not None]
    return max(1.0, min(grown, default=1.0))


def usual(comparison, what):
    """The spread that is usual in a comparison."""
    return statistics.median([line.spread(what) for line in comparison.lines if line.median(what)] or [0.0])


def noise(before, now, line, other, what):
    """Of a line in two comparisons."""
    turns = min(len(line.turns), len(other.turns))
    return max(FLOOR, WIDER.get(turns, 1.0) * max(line.spread(what), other.spread(what), usual(before, what), usual(now, what)))


def worse(old, new, before, now, slowed):
    """Of a line, `before` and `now`, in the comparisons `old` and `new`."""
    for what, name, nothing in MEASURES:
        grown = growth(before, now, what)
        if grown is None or now.median(what) - before.median(what) <= nothing:
            continue
        chance = noise(old, new, before, now, what)
        beyond = grown / slowed if what in ("seconds", "client") else grown
        if beyond > 1 + chance:
            unit = (lambda value: f"{value:.2f} s") if what in ("seconds", "client") else (lambda value: f"{value / (1 << 20):.1f} MiB")
            peers = f", its peers by {slowed - 1:.0%} or more" if slowed > 1 + FLOOR and what in ("seconds", "client") else ""
            yield f"{name} grew from {unit(before.median(what))} to {unit(now.median(what))}, by {grown - 1:.0%}{peers}; noise {chance:.0%}"


def compare(before, now):
    """What got worse, and what cannot be compared, as two lists."""
    earlier = {(comparison.road, comparison.name): comparison for comparison in before}
    changes, notes = [], []
    for comparison in now:
        old = earlier.get((comparison.road, comparison.name))
        if old is None:
            notes.append(f"{comparison.road}, {comparison.name}: not in the earlier run")
            continue
        slowed = machine(old, comparison)
        lines = {line.name: line for line in comparison.lines}
        for line in old.lines:
            other = lines.get(line.name)
            if line.role not in (OURS, STEP) or not line.turns:
                continue
            if other is None or other.why is not None:
                changes.append(Change(comparison.road, comparison.name, line.name, f"not measured any more: {other.why if other else 'it is gone'}"))
                continue
            changes += [Change(comparison.road, comparison.name, line.name, text) for text in worse(old, comparison, line, other, slowed)]
    here = {(comparison.road, comparison.name) for comparison in now}
    notes += [f"{road}, {name}: in the earlier run only" for road, name in earlier if (road, name) not in here]
    return changes, notes


def comparable(before, now):
    """Why two runs (their documents) say nothing about each other; None when they do."""
    if before["size"] != now["size"]:
        return f"it was measured with {before['size']}, this run with {now['size']}"
    return None


def told(changes, notes, about):
    yield f"Against {about['program']}, commit {about['commit']}, {about['rounds']} rounds, on {about['machine']}:"
    if not changes:
        yield "\nNothing got slower or larger beyond the noise."
    for change in changes:
        yield f"* {change}"
    for note in notes:
        yield f"* ({note})"
