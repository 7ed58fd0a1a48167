"""Every benchmark that `make bench` runs, with what it is given and how long it may take."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Bench:
    """`python -m bench.NAME ARGUMENTS`, or QUICK instead of them; killed after so many minutes.

    long: it takes ten minutes or more, so it runs only when asked for.
    """

    name: str
    arguments: str = ""
    quick: str = ""
    minutes: float = 5.0
    long: bool = False

    def words(self, quick: bool) -> list[str]:
        """Its command line after the interpreter."""
        return ["-m", f"bench.{self.name}", *(self.quick if quick else self.arguments).split()]


BENCHES: Final[Sequence[Bench]] = (
    Bench("counts"),
    Bench("instructions", minutes=20),
    Bench("records", quick="500 3"),
    Bench("notebook", "12000 400", quick="2000 200"),
    Bench("web", "1000 10000 --runs 5", quick="1000 --runs 3", minutes=10),
    Bench("code", quick="3"),
    Bench("retention", quick="2000"),
    Bench("sync", quick="5000 1", minutes=15),
    Bench("join", "5", quick="1", minutes=10),
    Bench("idle", "30", quick="5"),
    Bench("gossip", "10 --seconds 15", quick="10 --seconds 5 --only arnode", minutes=10),
    Bench("model", "100 1000 --alone 10000", quick="30 --alone 300", minutes=15),
    Bench("fabric", quick="20 --minutes 8 --records 5", minutes=10),
    Bench("private", quick="5"),
    Bench("trial", "3", quick="1", minutes=10),
    Bench("sandbox", "20", quick="5"),
    Bench("audit", "3", quick="1"),
    Bench("llm", "10", quick="3"),
    Bench("judge", minutes=10),
    Bench("search", "--repeats 8 --swarms 3", quick="--repeats 2 --trials 40 --swarms 0", minutes=20),
    Bench("roles", "swarm --nodes 24 --minutes 15 --seeds 1", "swarm --nodes 8 --minutes 3 --seeds 1", minutes=10),
    Bench("math", minutes=10),
    Bench("attack", quick="200", minutes=15),
    Bench("headroom", quick="--quick", minutes=40, long=True),
    Bench("swarm", "4 10", quick="2 1", minutes=15, long=True),
    Bench("gpu", minutes=10),
)
