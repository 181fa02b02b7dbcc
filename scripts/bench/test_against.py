"""What an earlier run is held against: what got slower is named, noise is not. `python3 scripts/bench/test_against.py`; the repository's tests run it."""
import dataclasses
import json
import pathlib
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import against
import measuring
import results
import table
from measuring import Command, Failed
from results import OURS, PEER, STEP, Comparison, Line
from roads.road import Candidate, Road


def line(name, role, seconds, **more):
    return Line(name, role, [{"seconds": value, **more} for value in seconds])


def run_of(ours, peer=(10.0, 10.1, 10.2), **more):
    return [Comparison("postgresql", "out", lines=[line("threescale-backup backup", OURS, ours, **more), line("pg_dump -Fc", PEER, peer)])]


def named(before, now):
    return [str(change) for change in against.compare(before, now)[0]]


class Against(unittest.TestCase):
    def test_what_got_slower_is_named_with_its_road(self):
        [change] = named(run_of((5.0, 5.1, 5.2)), run_of((6.4, 6.5, 6.6)))
        self.assertIn("postgresql, out, threescale-backup backup: time grew from 5.10 s to 6.50 s, by 27%", change)

    def test_noise_is_not_named(self):
        # The second is slower by its median, but by no more than a turn of it differs from another.
        self.assertEqual(named(run_of((5.0, 5.1, 6.5)), run_of((5.2, 5.6, 5.9))), [])
        self.assertEqual(named(run_of((5.0, 5.1, 5.2)), run_of((5.1, 5.2, 5.3))), [])
        # Its peer tells how much turns differ.
        self.assertEqual(named(run_of((5.0, 5.0, 5.0), (10.0, 16.0, 10.0)), run_of((6.0, 6.0, 6.0), (10.0, 16.0, 10.0))), [])
        # Two turns that are 5 % apart say little.
        self.assertEqual(named(run_of((5.0, 5.25)), run_of((5.5, 5.75))), [])
        five = (5.0, 5.1, 5.2, 5.25, 5.1)
        self.assertEqual(len(named(run_of(five, five), run_of([value + 0.5 for value in five], five))), 1)

    def test_what_got_faster_is_not_named(self):
        self.assertEqual(named(run_of((5.0, 5.1, 5.2)), run_of((2.0, 2.1, 2.2))), [])

    def test_a_slower_machine_is_not_a_slower_program(self):
        slower = run_of((7.5, 7.6, 7.7), (15.0, 15.1, 15.2))
        self.assertEqual(named(run_of((5.0, 5.1, 5.2)), slower), [])
        # But what grew more than its peer did is.
        [change] = named(run_of((5.0, 5.1, 5.2)), run_of((12.5, 12.6, 12.7), (15.0, 15.1, 15.2)))
        self.assertIn("its peers by 50% or more", change)

    def test_a_slower_peer_is_not_named(self):
        self.assertEqual(named(run_of((5.0, 5.1, 5.2)), run_of((5.0, 5.1, 5.2), (30.0, 30.1, 30.2))), [])

    def test_a_few_milliseconds_and_kilobytes_are_nothing(self):
        self.assertEqual(named(run_of((0.010, 0.010), peak=10 << 20), run_of((0.030, 0.030), peak=12 << 20)), [])

    def test_memory_and_what_is_stored_count_however_slow_the_machine_is(self):
        before, now = run_of((5.0, 5.0), peak=100 << 20, left=10 << 20), run_of((5.0, 5.0), (99.0, 99.0), peak=200 << 20, left=12 << 20)
        memory, stored = named(before, now)
        self.assertIn("memory grew from 100.0 MiB to 200.0 MiB", memory)
        self.assertIn("what is stored grew from 10.0 MiB to 12.0 MiB", stored)

    def test_what_cannot_be_measured_any_more_is_named(self):
        now = run_of((5.0, 5.1))
        now[0].lines[0].give_up("pg_dump failed")
        [change] = named(run_of((5.0, 5.1)), now)
        self.assertIn("not measured any more: pg_dump failed", change)
        # A peer that fails is no fault of the program's.
        now = run_of((5.0, 5.1))
        now[0].lines[1].give_up("it is not there")
        self.assertEqual(named(run_of((5.0, 5.1)), now), [])

    def test_steps_count_and_roads_of_one_run_only_are_noted(self):
        before, now = run_of((5.0, 5.0)), run_of((5.0, 5.0))
        before[0].lines.append(line("threescale-backup restore: prove", STEP, (1.0, 1.0)))
        now[0].lines.append(line("threescale-backup restore: prove", STEP, (2.0, 2.0)))
        now.append(Comparison("redis-small", "in"))
        changes, notes = against.compare(before, now)
        self.assertEqual([change.line for change in changes], ["threescale-backup restore: prove"])
        self.assertEqual(notes, ["redis-small, in: not in the earlier run"])

    def test_results_come_back_from_their_json(self):
        document = json.loads(json.dumps(results.to_json({"size": "20M"}, run_of((5.0, 5.1)))))
        self.assertEqual(results.from_json(document), run_of((5.0, 5.1)))
        self.assertRaises(ValueError, results.from_json, {"format": 99})
        self.assertIn("20M", against.comparable({"size": "20M"}, {"size": "1G"}))


class Bench:
    """What a road wants to know of the bench."""

    rounds, sizes = 2, None

    def __init__(self, work):
        self.work = work

    def need_space(self, wanted):
        pass

    def sync(self):
        pass

    def close_installation(self):
        pass


class Sleeps(Road):
    """A road with one who works, one who fails and one who makes nothing whole."""

    is_clean = False

    def needs(self):
        return 0

    def measure(self):
        def not_whole(_):
            raise Failed("it lacks rows")
        # Reading what it is given keeps it there until its memory was looked at.
        works = [Command(["sh", "-c", "i=0; while [ $i -lt 60000 ]; do i=$((i + 1)); done; echo done"]), Command(["cat"])]
        self.compare("out", [Candidate("works", lambda: works, OURS, after=lambda text: {"stage": 0.5} if text == "done\n" else None),
                             Candidate("fails", lambda: [Command(["sh", "-c", "echo no such table >&2; exit 3"]), Command(["cat"])]),
                             Candidate("is not there", lambda: [Command(["no-such-program-of-anybody"])]),
                             Candidate("lacks something", lambda: [Command(["true"])], after=not_whole)])
        raise Failed("the server has ended")

    def clean_up(self):
        self.is_clean = True


class Measuring(unittest.TestCase):
    def test_a_failure_is_no_number_and_stops_nobody_else(self):
        with tempfile.TemporaryDirectory() as folder:
            road = Sleeps(Bench(pathlib.Path(folder)), "sleeps")
            road.go()
            self.assertTrue(road.is_clean and not road.folder.exists())
        out, rest = road.comparisons
        works, step = out.line("works"), out.line("works: stage")
        self.assertEqual((len(works.turns), works.why, len(step.turns), step.role), (2, None, 2, STEP))
        self.assertTrue(all(turn["client"] > 0 and turn["peak"] and turn["server"] is None for turn in works.turns), works)
        self.assertEqual(out.line("fails").why, "sh failed (3): no such table")
        self.assertEqual(out.line("is not there").why, "no-such-program-of-anybody: No such file or directory")
        self.assertEqual((out.line("lacks something").why, out.line("lacks something").turns), ("it lacks rows", []))
        self.assertEqual(rest.line("threescale-backup").why, "the server has ended")
        page = "\n".join(table.table(out))
        self.assertIn("| fails | not measured: sh failed (3): no such table |", page)

    def test_the_cpu_of_a_server_has_that_of_its_children(self):
        with tempfile.TemporaryDirectory() as folder:
            own = measuring.cpu_of(measuring.os.getpid())
            turn = measuring.run([Command(["sh", "-c", "i=0; while [ $i -lt 60000 ]; do i=$((i + 1)); done"])], folder, [measuring.os.getpid()]).turn
            self.assertGreaterEqual(turn.server, turn.client - 0.05)
            self.assertGreaterEqual(measuring.cpu_of(measuring.os.getpid()) - own, turn.client - 0.05)
            self.assertEqual(set(dataclasses.asdict(turn)), {"seconds", "client", "server", "peak", "child", "left"})


unittest.main()
