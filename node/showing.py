"""`arnode feed`, `watch`, `board` and `show`: what was found, for people to look at. Parses, then hands over, as
`node.cli` does.
"""

import os
from typing import Annotated

import typer

from node import complete
from node.options import Json, TaskOption, Verbose, home_of


def feed(
    context: typer.Context,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what arrives.")] = False,
    last: Annotated[int, typer.Option("--last", "-n", min=0, help="How many records to begin with.")] = 50,
    task: TaskOption = None,
    verbose: Verbose = None,
    json: Json = False,
) -> None:
    """Show the records of this node's log, whether it runs or not."""
    from node.config import load_config
    from node.feed import Feed, feed_console
    from node.look import show_feed

    home = home_of(context)
    said = load_config(home, os.environ, {"task": task, "verbose": verbose}).config
    with Feed(feed_console(json=json), json=json, verbose=said.verbose) as out:
        show_feed(home, task, out, last=last, follow=follow)


def watch(
    context: typer.Context,
    url: Annotated[
        str | None, typer.Option(metavar="URL", help="The local server of a node (default: the one that runs here).")
    ] = None,
) -> None:
    """Watch a running node full screen: feed, board, progress, knobs, trial, peers."""
    from node.watch.app import watch as show_screen

    show_screen(home_of(context), url)


def board(context: typer.Context, task: TaskOption = None, json: Json = False) -> None:
    """Show who has found what: the best recipe of each node, and the discoveries."""
    from node.look import show_board

    show_board(home_of(context), task, json=json)


def show(
    context: typer.Context,
    record: Annotated[
        str, typer.Argument(metavar="ID", autocompletion=complete.records, help="A record's id, or its first digits.")
    ],
    task: TaskOption = None,
    json: Json = False,
) -> None:
    """Show one record in full."""
    from node.look import show_record

    show_record(home_of(context), task, record, json=json)
