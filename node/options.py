"""What several groups of commands share: an option, and the state folder."""

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from node.home import Home

Json = Annotated[bool, typer.Option("--json", help="Print JSON, one object to a line.")]


def home_of(context: typer.Context) -> "Home":
    """The state folder that was chosen, made if it is not there."""
    from node.home import open_home

    return open_home(context.obj)
