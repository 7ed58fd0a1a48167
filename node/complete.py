"""What the shell offers at Tab: tasks, knobs and their values, records, swarms, profiles.

Each function gets what was typed of the word; what cannot be read now (no log yet, no such task) offers nothing, since
an error would be printed into the line that is being typed.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import typer

if TYPE_CHECKING:
    from node.home import Home
    from trainer.schema import Knob

Offer = tuple[str, str]
"""A word, and what zsh and fish show beside it."""

RECENT: Final = 10
SHORT: Final = 10  # digits of a record's id: enough for a trillion records


def tasks(incomplete: str) -> list[Offer]:
    """The built-in tasks; a folder is the shell's own matter."""
    from trainer.task import built_in_tasks

    return [(name, "") for name in built_in_tasks() if name.startswith(incomplete)]


def knobs(context: typer.Context, incomplete: str) -> list[Offer]:
    """`KNOB=` of the command's task; of the only knob that fits, its values, so that no space comes after the `=`."""
    from trainer.errors import TrainerError
    from trainer.task import load_task

    try:
        task = load_task(context.params.get("task") or _remembered(context))
    except TrainerError:
        return []
    name = incomplete.partition("=")[0]
    fitting = [knob for knob in task.knobs.values() if knob.name.startswith(name)]
    chosen = [knob for knob in fitting if knob.name == name and "=" in incomplete] or fitting
    if len(chosen) > 1:
        return [(f"{knob.name}=", _range(knob)) for knob in chosen]
    words = [(f"{knob.name}={value}", "") for knob in chosen for value in _values(knob)]
    return [word for word in words if word[0].startswith(incomplete)]


def records(context: typer.Context, incomplete: str) -> list[Offer]:
    """Ids of records in the log that begin so, or of the newest ones."""
    from gossip.log import Log
    from gossip.logfile import LogError

    try:
        with Log(_home(context).log, read_only=True) as log:
            if incomplete:
                found = log.find(incomplete)
            else:
                found = [record for one in log.ids_since(0, RECENT) if (record := log.get(one)) is not None]
    except LogError:
        return []
    digits = SHORT if len(incomplete) <= SHORT else None
    return [(record.id.hex()[:digits], record.kind) for record in found]


def what(context: typer.Context, incomplete: str) -> list[Offer]:
    """What can be exported: a word, or a record."""
    words = ("best", "baseline", "kept", "all")
    return [(word, "") for word in words if word.startswith(incomplete)] + records(context, incomplete)


def base(context: typer.Context, incomplete: str) -> list[Offer]:
    """What a proposal changes: a word, or a record."""
    return [(word, "") for word in ("best", "baseline") if word.startswith(incomplete)] + records(context, incomplete)


def swarms(context: typer.Context, incomplete: str) -> list[Offer]:
    """The swarms whose peers this folder knows, and the public one."""
    names = {path.stem.removeprefix("peers-") for path in _home(context).folder.glob("peers-*.json")}
    return [(name, "") for name in sorted(names | {"main"}) if name.startswith(incomplete)]


def profiles(incomplete: str) -> list[Offer]:
    """The profiles that come with arnode; a file is the shell's own matter."""
    from node.configfile import PROFILES

    return [(name, "") for name in PROFILES if name.startswith(incomplete)]


def scenarios(incomplete: str) -> list[Offer]:
    """The scenarios that come with arnode."""
    from node.simulation.scenario import load_scenario, scenario_names

    return [(name, load_scenario(name).title) for name in scenario_names() if name.startswith(incomplete)]


def _home(context: typer.Context) -> "Home":
    from node.home import locate_home

    return locate_home(context.find_root().params.get("home"))  # no command runs at Tab, so none has put it elsewhere


def _remembered(context: typer.Context) -> str:
    try:
        return _home(context).task.read_text(encoding="utf-8").strip() or "story-cpu"
    except OSError:
        return "story-cpu"


def _values(knob: "Knob") -> Iterator[object]:
    if knob.type == "bool":
        return iter((True, False))
    return iter(knob.choices or (knob.default,))


def _range(knob: "Knob") -> str:
    return knob.type if knob.low is None else f"{knob.type}, {knob.low} to {knob.high}"
