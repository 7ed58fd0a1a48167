"""What several groups of commands share: options, and the state folder."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from node import complete

if TYPE_CHECKING:
    from node.home import Home

Json = Annotated[bool, typer.Option("--json", help="Print JSON, one object to a line.")]

Verbose = Annotated[
    Optional[bool],  # noqa: UP045 - typer reads it at run time on every Python
    typer.Option("--verbose/--quiet", "-v/-q", help="Show also what others tried in vain, and each trial."),
]

Until = Annotated[
    Optional[float],  # noqa: UP045
    typer.Option(metavar="VALUE", help="Stop once the best that was kept is that good, or better."),
]

TaskOption = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(
        "--task",
        metavar="NAME|FOLDER",
        autocompletion=complete.tasks,
        help="What to work on (default: the last one here, else story-cpu).",
    ),
]

ConfigOption = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(
        "--config",
        metavar="FILE|PROFILE",
        autocompletion=complete.profiles,
        help="Settings on top of config.toml: a file, or laptop, h100, server.",
    ),
]


def home_of(context: typer.Context) -> "Home":
    """The state folder that was chosen, made if it is not there."""
    from node.home import open_home

    folder: Path | None = context.obj
    return open_home(folder)
