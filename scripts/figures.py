"""Write figures of bench/baseline.json into the pages, where they are marked, so that no page says another number.

    python -m scripts.figures          writes them
    python -m scripts.figures --check  says whether they are current, by its exit status

A mark is an HTML comment, which no reader sees. One figure, anywhere in a line, and all of a benchmark, as a table:

    <!--figure records: typical result-->932 bytes<!--/-->
    <!--figures counts--> ... <!--/-->
"""

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from bench.baseline import BaselineError, Run, load

ROOT: Final = Path(__file__).parents[1]
MARK: Final = re.compile(r"<!--(figures?) (\w+)(?:: (.+?))?-->(.*?)<!--/-->", re.DOTALL)


class UnknownFigure(Exception):
    """A mark names what the baseline does not hold."""


def pages() -> list[Path]:
    """Every page that may hold figures."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def filled(text: str, runs: Mapping[str, Run]) -> str:
    """The page with the baseline's figures at its marks. Raises UnknownFigure."""

    def fill(mark: re.Match[str]) -> str:
        kind, bench, name = mark[1], mark[2], mark[3]
        try:
            told = _table(runs[bench]) if kind == "figures" else str(runs[bench].figures[name])
        except KeyError as error:
            raise UnknownFigure(
                f"{mark[0].partition('-->')[0]}-->: the baseline has no {error}. `python -m bench {bench} "
                "--save-baseline` measures it, if the name is right"
            ) from error
        return f"{mark[0].partition('-->')[0]}-->{told}<!--/-->"

    return MARK.sub(fill, text)


def _table(run: Run) -> str:
    rows = [f"| {name} | {summary} |" for name, summary in run.figures.items()]
    return "\n".join(["", "", "| figure | value |", "|---|---|", *rows, "", ""])


def write(runs: Mapping[str, Run]) -> list[Path]:
    """Fill in all pages; those that changed. Raises UnknownFigure before any is written."""
    new = {page: filled(page.read_text(encoding="utf-8"), runs) for page in pages()}
    changed = [page for page, text in new.items() if page.read_text(encoding="utf-8") != text]
    for page in changed:
        page.write_text(new[page], encoding="utf-8")
    return changed


def main() -> None:
    try:
        runs = load()
        if sys.argv[1:] != ["--check"]:
            write(runs)
            return
        stale = [page.name for page in pages() if filled(page.read_text(encoding="utf-8"), runs) != page.read_text()]
    except (BaselineError, UnknownFigure) as error:
        sys.exit(str(error))
    if stale:
        sys.exit(f"{', '.join(stale)}: not what bench/baseline.json holds; write them with: python -m scripts.figures")


if __name__ == "__main__":
    main()
