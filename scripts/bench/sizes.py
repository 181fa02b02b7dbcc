"""How much there is of everything, for a SIZE such as 50M or 1G. At 1G it is what the figures of docs/performance.md are wanted for."""
import dataclasses
import re

GIB = 1 << 30


def bytes_of(size):
    """The bytes of 50M or 1G; ValueError for anything else."""
    found = re.fullmatch(r"([1-9][0-9]*)([MG])", size)
    if not found:
        raise ValueError(f"{size} is not a size such as 50M or 1G")
    return int(found[1]) << (20 if found[2] == "M" else 30)


@dataclasses.dataclass(frozen=True)
class Sizes:
    """Counts grow with the size; the least that still says something is there at any size."""

    text: str
    #: Number, and bytes of each, where they are given.
    given_objects: tuple = None

    @property
    def bytes(self):
        return bytes_of(self.text)

    def part(self, at_one_gib, least):
        return max(least, at_one_gib * self.bytes // GIB)

    @property
    def small_tables(self):
        return self.part(2_000, 100)

    @property
    def mixed_keys(self):
        return self.part(1_000_000, 5_000)

    @property
    def small_keys(self):
        return self.part(20_000_000, 20_000)

    @property
    def small_files(self):
        return self.part(200_000, 1_000)

    @property
    def big_files(self):
        """Number, and bytes of each."""
        return 20, self.bytes

    @property
    def objects(self):
        """Number, and bytes of each."""
        return self.given_objects or (self.part(10_000, 100), 10_000)

    @property
    def sets(self):
        return self.part(500, 20)

    @property
    def journals(self):
        return self.part(200, 5)
