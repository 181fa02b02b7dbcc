"""Backend's Redis: mixed keys, and many small ones, which most of a real Backend is (counters of usage)."""
from bench import LEAST
from measuring import Failed, size_of
from program import config_of
from results import LIMIT
from roads.road import Candidate
from roads.store import StoreRoad
from servers import words

STORAGE, QUEUES, BESIDE = 0, 1, 9
BATCH = 2_000
HOURS = 24 * 28
#: What `redis-cli --rdb` leaves, and the calls that `redis-cli --pipe` reads.
DUMP, CALLS = "dump.rdb", "restores.resp"


def counter(number):
    """A counter of usage: services of 50 applications with hours of four weeks."""
    application, hour = divmod(number, HOURS)
    return b"stats/{service:%d}/cinstance:app-%x/metric:%d/hour:202601%02d%02d" % (application // 50, application, application % 4, hour // 24 + 1, hour % 24)


def small(count):
    for number in range(count):
        yield [b"SET", counter(number), b"%d" % (number * 7919 % 100_003)]


def mixed(count):
    """Of ten keys: six counters, a string of an application, a set, a list and a sorted set; some expire."""
    for number in range(count):
        kind, service = number % 10, number % 997
        if kind < 6:
            yield [b"SET", counter(number), b"%d" % (number * 7919 % 100_003)]
        elif kind == 6:
            yield [b"SET", b"application/service_id:%d/id:app-%x/plan_name" % (service, number), b"Unlimited"]
        elif kind == 7:
            yield [b"SADD", b"application/service_id:%d/id:app-%x/keys" % (service, number), *(b"%032x" % (number * 31 + part) for part in range(3))]
        elif kind == 8:
            yield [b"RPUSH", b"errors/service_id:%d-%x" % (service, number), *(b'{"code":"application_not_found","message":"%d"}' % part for part in range(4))]
        else:
            yield [b"SET", b"alerts/service_id:%d/app_id:app-%x/80/already_notified" % (service, number), b"1", b"EX", b"86400000"]


class Redis(StoreRoad):
    def __init__(self, bench, name, keys, count):
        super().__init__(bench, name)
        self.keys, self.count = keys, count

    def needs(self):
        return self.count * 800

    def prepare(self):
        # Its own: what the other stores have must not be missed by the road of all of them.
        self.bench.close_installation()
        self.server = self.bench.installation(size=LEAST).redis
        link = self.server.link()
        try:
            # Else it waits five seconds for a second one who wants what redis-cli asks for.
            link.calls([[b"CONFIG", b"SET", b"repl-diskless-sync-delay", b"0"], [b"FLUSHALL"]])
            for batch in batches(self.keys(self.count)):
                link.calls(batch)
            self.wanted = link.calls([[b"DBSIZE"]])[0]
            self.write_calls(link)
        finally:
            link.close()
        lines = f'storage-url = "{self.server.url(STORAGE)}"\nqueues-url = "{self.server.url(QUEUES)}"'
        self.program = self.bench.program(self.folder / "ours", config_of("backend-redis", lines))
        self.about_data = f"{self.server.version()}, {int(self.wanted)} keys; repl-diskless-sync-delay is 0."

    def write_calls(self, link):
        """RESTORE of each key, as `redis-cli --pipe` reads them."""
        with open(self.folder / CALLS, "wb") as file:
            cursor = b"0"
            while True:
                cursor, keys = link.calls([[b"SCAN", cursor, b"COUNT", b"%d" % BATCH]])[0]
                said = link.calls([call for key in keys for call in ([b"DUMP", key], [b"PTTL", key])])
                for key, value, ttl in zip(keys, said[::2], said[1::2]):
                    if value is not None:
                        file.write(words([b"RESTORE", key, b"%d" % max(0, int(ttl)), value, b"REPLACE"]))
                if cursor == b"0":
                    return

    def servers(self):
        return [self.server]

    def clean_up(self):
        # Its Redis holds what nobody else wants.
        if hasattr(self, "server"):
            self.bench.close_installation()

    def size(self, database):
        return int(self.server.call("-n", str(database), "DBSIZE"))

    def whole(self):
        if self.size(STORAGE) != int(self.wanted):
            raise Failed(f"the live Redis has {self.size(STORAGE)} of {int(self.wanted)} keys after the restore")

    def stream(self):
        return [self.server.client("--rdb", "-")]

    def peers_out(self):
        dump = self.folder / DUMP
        return [
            Candidate("redis-cli --rdb", lambda: [self.server.client("--rdb", dump)], before=lambda: dump.unlink(missing_ok=True), left=lambda: size_of(dump)),
            Candidate("RDB to nowhere", lambda: [self.server.client("--rdb", "-", out="/dev/null")], LIMIT),
        ]

    def peers_in(self):
        def counted(_):
            found = self.size(BESIDE)
            self.server.call("-n", str(BESIDE), "FLUSHDB")
            if found != int(self.wanted):
                raise Failed(f"it loaded {found} of {int(self.wanted)} keys")
        return [Candidate("redis-cli --pipe of RESTOREs", lambda: [self.server.client("-n", str(BESIDE), "--pipe", stdin=self.folder / CALLS)],
                          before=lambda: self.server.call("-n", str(BESIDE), "FLUSHDB"), after=counted)]

    def change(self, which):
        """INCR of counters: the newest ones, or every 100th key."""
        link = self.server.link()
        numbers = range(self.count - self.count // 100, self.count) if which == "newest" else range(0, self.count, 100)
        is_mixed = self.keys is mixed
        calls = ([b"INCR", counter(number)] for number in numbers if not is_mixed or number % 10 < 6)
        changed = 0
        try:
            for batch in batches(calls):
                changed += len(link.calls(batch))
        finally:
            link.close()
        return f"{changed} of {int(self.wanted)} keys"


def batches(calls):
    batch = []
    for call in calls:
        batch.append(call)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


ROADS = {"redis-mixed": lambda bench, name: Redis(bench, name, mixed, bench.sizes.mixed_keys),
         "redis-small": lambda bench, name: Redis(bench, name, small, bench.sizes.small_keys)}
