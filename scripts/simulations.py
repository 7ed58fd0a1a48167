"""Run scenarios in full, and write what came of them into docs/scaling.md: `make simulate`.

    python -m scripts.simulations [--short] [SCENARIO]...

Each scenario's part of the section "Scenarios" stands between two comments that name it and is replaced as a whole; a
scenario that is not run keeps what stands there. Plots go to docs/images.
"""

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from node.simulation.plots import plots_of
from node.simulation.report import as_markdown
from node.simulation.run import Outcome, play
from node.simulation.scenario import load_scenario, scenario_names

PAGE: Final = Path("docs/scaling.md")
IMAGES: Final = Path("docs/images")
HEADING: Final = "## Scenarios"
SHOWN: Final[Mapping[str, Sequence[str]]] = {"night": ("roles", "best", "finders"), "liars": ("best",)}
USUALLY: Final = ("adoption", "delays")
"""Of these the first that a scenario has."""


def part_of(name: str, outcome: Outcome) -> str:
    """The scenario's part of the page; its plots are written."""
    plots = plots_of(outcome)
    shown = SHOWN.get(name) or [kind for kind in USUALLY if kind in plots][:1]
    lines = [as_markdown(name, outcome)]
    for kind in shown:
        file = IMAGES / f"simulated-{name}-{kind}.svg"
        file.write_bytes(plots[kind])
        lines.append(f"![{outcome.scenario.title}: {kind}](images/{file.name})\n")
    return "\n".join(lines)


def put(page: str, name: str, part: str) -> str:
    """The page with the scenario's part in its place, or at the end of the section."""
    begin, end = f"<!-- scenario {name} -->", f"<!-- end of {name} -->"
    whole = f"{begin}\n{part}\n{end}"
    if begin in page:
        before, _, rest = page.partition(begin)
        return before + whole + rest.partition(end)[2]
    before, heading, section = page.partition(HEADING)
    if not heading:
        return f"{page.rstrip()}\n\n{HEADING}\n\n{whole}\n"
    here, following, others = section.partition("\n## ")
    return f"{before}{heading}{here.rstrip()}\n\n{whole}\n{following}{others}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=scenario_names(), metavar="SCENARIO")
    parser.add_argument("--short", action="store_true", help="the short forms")
    chosen = parser.parse_args()
    failed = False
    for name in chosen.names:
        began = time.perf_counter()
        outcome = play(load_scenario(name, short=chosen.short))
        page = PAGE.read_text(encoding="utf-8")
        PAGE.write_text(put(page, name, part_of(name, outcome)), encoding="utf-8")
        broken = [f"{one.asserted}, measured {one.value}" for one in outcome.checked if not one.holds]
        print(f"{name}: {'; '.join(broken) or 'all holds'} ({time.perf_counter() - began:.0f} s)", flush=True)
        failed = failed or bool(broken)
    sys.exit(failed)


if __name__ == "__main__":
    main()
