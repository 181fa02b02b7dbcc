"""Measures the program against what is used today, road by road: `python3 scripts/bench [SIZE] [OPTIONS]` (`make bench SIZE=1G`).

How it measures. The candidates of a comparison take turns, A B A B, on the same servers in the same run. Before each turn the servers have written
their changed pages to the disk (unmeasured), so that nobody pays for the one before. Making and dropping databases, `init`, `settle`, and counting
what was loaded are unmeasured. Nobody writes to the stores meanwhile. Who fails, or makes what is not whole, is "not measured", with the reason, and
never a number.

The servers are throw-away ones of lab. A run leaves its results and nothing else; results are written after each road, so that one that is
interrupted has them too. It needs about ten times SIZE of space in ${TMPDIR:-/tmp}, the road files-big eighty times.
"""
import argparse
import fnmatch
import json
import os
import pathlib
import signal
import sys

import against
import limits
import machine
import results
import table
from bench import Bench
from measuring import Failed
from roads import ROADS
from roads.road import say
from sizes import Sizes, bytes_of

ROOT = machine.ROOT
EXAMPLES = ("installation", "many-sets", "bucket")


def arguments():
    parser = argparse.ArgumentParser(prog="python3 scripts/bench", description=__doc__.split("\n\n", maxsplit=1)[0], formatter_class=argparse.RawDescriptionHelpFormatter,
                                     epilog=f"Roads: {', '.join(ROADS)}.\n\nPROGRAM, INSTALLATION, MANY_SETS and BUCKET are programs to use instead of the release builds.")
    parser.add_argument("size", nargs="?", default="50M", metavar="SIZE", help="how much there is of everything, 50M or 1G [50M]")
    parser.add_argument("--rounds", type=int, metavar="N", help="turns of each candidate, 2 or more [5]")
    parser.add_argument("--quick", action="store_true", help="two rounds")
    parser.add_argument("--only", metavar="ROAD,…", default="*", help="these roads; 'mysql*' is all whose names begin so")
    parser.add_argument("--without", metavar="ROAD,…", default="", help="not these roads")
    parser.add_argument("--to", type=pathlib.Path, metavar="FILE", default=ROOT / "bench/results.md", help="where the results go; a JSON with all turns goes beside it [bench/results.md]")
    parser.add_argument("--against", type=pathlib.Path, metavar="FILE", help="the JSON of an earlier run: say what got slower or larger beyond the noise, and end with 1 then")
    parser.add_argument("--objects", type=int, nargs=2, metavar=("N", "BYTES"),
                        help="of the road bucket: `1 5500000000` is one above what S3 takes in one request, and needs 17 GB of memory for the service")
    parser.add_argument("--list", action="store_true", help="print the names of the roads")
    options = parser.parse_args()
    try:
        bytes_of(options.size)
        options.roads = chosen(options.only, options.without)
    except ValueError as error:
        parser.error(str(error))
    options.rounds = options.rounds or (2 if options.quick else 5)
    if options.rounds < 2:
        parser.error("one round says nothing about the noise: two at least")
    if options.to.suffix == ".json":
        parser.error("--to is the page for people; the JSON goes beside it")
    return options


def chosen(only, without):
    def names(patterns):
        found = set()
        for pattern in filter(None, patterns.split(",")):
            matching = fnmatch.filter(ROADS, pattern)
            if not matching:
                raise ValueError(f"no road {pattern}: there are {', '.join(ROADS)}")
            found.update(matching)
        return found
    wanted = names(only) - names(without)
    return [name for name in ROADS if name in wanted]


def programs():
    """Where they are; those that are not given are the release builds."""
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release"
    found = {"program": os.environ.get("PROGRAM", target / "threescale-backup")}
    for name in EXAMPLES:
        found[name] = os.environ.get(name.upper().replace("-", "_"), target / "examples" / name)
    for name, path in found.items():
        found[name] = str(pathlib.Path(path).resolve())
        if not os.access(found[name], os.X_OK):
            sys.exit(f"bench: no program {path}: `make bench` builds all")
    return found


def own_environment():
    """Nothing of the caller's may lead to real servers, or change what programs do."""
    for name in list(os.environ):
        if name.startswith(("THREESCALE_", "RESTIC_", "RCLONE_", "PG", "MYSQL_", "REDISCLI_", "AWS_", "KUBE")) and not name.endswith("_PREFIX"):
            del os.environ[name]
    os.environ["LC_ALL"] = "C"


SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def end(number, _):
    """Once: what follows is cleaning up, which nobody interrupts."""
    for each in SIGNALS:
        signal.signal(each, signal.SIG_IGN)
    raise SystemExit(128 + number)


def earlier(options):
    """The document and the comparisons of `--against`."""
    if options.against is None:
        return None, None
    try:
        document = json.loads(options.against.read_text())
        comparisons = results.from_json(document)
    except (OSError, ValueError, KeyError, TypeError) as error:
        sys.exit(f"bench: {options.against} is not the JSON of an earlier run: {error}")
    why = against.comparable(document, {"size": options.size})
    if why:
        sys.exit(f"bench: {options.against} cannot be compared: {why}")
    return document, comparisons


def write(options, about, comparisons, compared=()):
    options.to.parent.mkdir(parents=True, exist_ok=True)
    for path, text in ((options.to, "\n".join(table.page(about, comparisons, compared)) + "\n"),
                       (options.to.with_suffix(".json"), json.dumps(results.to_json(about, comparisons), indent=1) + "\n")):
        part = path.with_name(path.name + ".part")
        part.write_text(text)
        part.replace(path)


def measure(options, bench):
    """All roads, one after the other; what is measured is written after each."""
    about = {"size": options.size, "rounds": options.rounds, "program": bench.version(), "commit": machine.commit(), "machine": machine.about(),
             "load_before": machine.load(), "versions": machine.versions(), "speeds": limits.speeds(bench.work)}
    own, comparisons = about["versions"], []
    for name in options.roads:
        road = ROADS[name](bench, name)
        try:
            road.go()
        finally:
            comparisons += road.comparisons
            about["versions"] = {**bench.versions, **own}
            about["load_after"] = machine.load()
            write(options, about, comparisons)
    return about, comparisons


def main():
    options = arguments()
    if options.list:
        print("\n".join(options.roads))
        return 0
    own_environment()
    for number in SIGNALS:
        signal.signal(number, end)
    before, before_comparisons = earlier(options)
    found = programs()
    with Bench(Sizes(options.size, options.objects and tuple(options.objects)), options.rounds, found) as bench:
        about, comparisons = measure(options, bench)
    compared, changes = [], []
    if before:
        changes, notes = against.compare([one for one in before_comparisons if one.road in options.roads], comparisons)
        compared = list(against.told(changes, notes, before))
        write(options, about, comparisons, compared)
    print(options.to.read_text())
    ours = [line for comparison in comparisons for line in comparison.lines if line.role == results.OURS and line.why is not None]
    for line in ours:
        say(f"not measured: {line.name}: {line.why}")
    return 1 if changes or ours else 0


try:
    sys.exit(main())
except Failed as failed:
    sys.exit(f"bench: {failed}")
