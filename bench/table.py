"""The table of recorded trials: one JSON object a line, after one that says of which task and where."""

import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Final, Self

from trainer.device import detect
from trainer.knobs import Scalar
from trainer.recipe import Recipe, make_recipe, recipe_id
from trainer.task import Task

RECORDED: Final = Path(__file__).parent / "recorded"


class TableError(Exception):
    """The file is of another task, or no table."""


@dataclass(frozen=True)
class Row:
    """One trial. stream: why it was run; knobs: its recipe; value: None unless the status is ok."""

    stream: str
    knobs: Mapping[str, Scalar]
    seed: int
    status: str
    value: float | None
    seconds: float
    training_seconds: float = 0.0
    parameters: int = 0
    tokens: int = 0
    reason: str = ""

    @property
    def recipe(self) -> Recipe:
        return Recipe(self.knobs)


class Table:
    """The trials of one task that were recorded, and the file that further ones are added to."""

    def __init__(self, task: Task, path: Path) -> None:
        self.task = task
        self.path = path
        self.rows: list[Row] = []
        self._known: dict[tuple[bytes, int], Row] = {}

    @classmethod
    def load(cls, task: Task, path: Path | None = None) -> Self:
        """The table of a task, empty where there is none yet. Raises TableError."""
        table = cls(task, path or RECORDED / f"{task.name}.jsonl")
        lines = table.path.read_text(encoding="utf-8").splitlines() if table.path.exists() else []
        try:
            if lines and json.loads(lines[0])["fingerprint"] != task.fingerprint_hex:
                raise TableError(f"{table.path} is of another {task.name}: its program, data or budget have changed")
            for line in lines[1:]:
                table._take(Row(**json.loads(line)))
        except (ValueError, KeyError, TypeError) as error:
            raise TableError(f"{table.path} is no table of trials: {error}") from error
        return table

    def known(self, recipe: Recipe, seed: int) -> Row | None:
        """The recorded trial of a recipe and seed."""
        return self._known.get((recipe_id(recipe), seed))

    def add(self, row: Row) -> None:
        """Add a trial, on disk too."""
        new = not self.path.exists()
        with self.path.open("a", encoding="utf-8") as file:
            if new:
                here = detect()
                head = {"task": self.task.name, "fingerprint": self.task.fingerprint_hex}
                file.write(json.dumps(head | {"device": here.name, "torch": here.torch}) + "\n")
            file.write(json.dumps(asdict(row)) + "\n")
        self._take(row)

    def means(self) -> dict[Recipe, float]:
        """Recipe -> mean value over its seeds, of recipes without a failed trial; the best first."""
        values: dict[Recipe, list[float | None]] = defaultdict(list)
        for row in self.rows:
            values[row.recipe].append(row.value)
        means = {recipe: fmean(v for v in found if v is not None) for recipe, found in values.items() if all(found)}
        return dict(sorted(means.items(), key=lambda pair: pair[1]))

    def _take(self, row: Row) -> None:
        self.rows.append(row)
        self._known[recipe_id(make_recipe(self.task, row.knobs)), row.seed] = row
