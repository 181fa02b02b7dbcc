"""The results as a page for people."""
from results import LIMIT, OURS, STEP

LEGEND = """\
All of a table took turns (A B A B) on the same servers. MEDIAN is of the wall time, SPREAD from the fastest to the slowest turn as a part of it. CPU is user and system, of the \
command with all its processes, and of the servers meanwhile. MEMORY is VmHWM of the largest process of the command, and after a + of the largest that it started. LEFT is what the turn left \
behind, in bytes of files. RATIO is the program's median divided by this line's: 0.25 is a quarter of its time. Lines with → are steps within the line above. Lines with ≥ are limits: what the \
bytes, the server or the disk take alone."""


def seconds(value):
    return "" if value is None else f"{value:.2f} s"


def size(value):
    if value is None:
        return ""
    for unit in ("B", "KiB", "MiB"):
        if abs(value) < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} GiB"


def memory(line):
    peak, child = line.median("peak"), line.median("child")
    return size(peak) + (f" + {size(child)}" if child else "")


def ratio(ours, line):
    if line.role in (OURS, STEP) or not line.median("seconds"):
        return ""
    return f"{ours.median('seconds') / line.median('seconds'):.2f}"


def cells(*values):
    return "| " + " | ".join(value.replace("|", "\\|") for value in values) + " |"


def name_of(line):
    return {STEP: "→ ", LIMIT: "≥ "}.get(line.role, "") + line.name


def table(comparison):
    bases = comparison.bases()
    heads = ["RATIO"] if len(bases) < 2 else [f"RATIO of {base.name.split(': ')[-1]}" for base in bases]
    left = [comparison.name, "MEDIAN", "SPREAD", "CPU", "CPU of servers", "MEMORY", "LEFT", *heads]
    yield cells(*left)
    yield "|---|" + "---:|" * (len(left) - 1)
    for line in comparison.lines:
        if line.why is not None and line.role == STEP:
            continue  # Said above.
        if line.why is not None:
            yield cells(name_of(line), f"not measured: {line.why}", *[""] * (len(left) - 2))
            continue
        if not line.turns:
            continue
        ratios = [ratio(base, line) for base in bases] or [""]
        yield cells(name_of(line), seconds(line.median("seconds")), f"{line.spread('seconds'):.0%}", seconds(line.median("client")),
                    seconds(line.median("server")), memory(line), size(line.median("left")), *ratios)


def page(about, comparisons, compared):
    yield f"# Measured: {about['size']}, {about['rounds']} rounds\n"
    yield f"* {about['program']}, commit {about['commit']}"
    yield f"* {about['machine']}; load averages {about['load_before']} before, {about.get('load_after', '')} after"
    yield "* " + ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    yield "* One core: " + ", ".join(f"{name} {value}" for name, value in about["speeds"].items())
    yield f"\n{LEGEND}"
    road = None
    for comparison in comparisons:
        if comparison.road != road:
            road = comparison.road
            yield f"\n## {road}"
        if comparison.about:
            yield f"\n{comparison.about}"
        yield ""
        yield from table(comparison)
    if compared:
        yield "\n## Against the earlier run\n"
        yield from compared
