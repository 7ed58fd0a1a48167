"""The command line: `arnode`. Which commands there are, in the order of `--help`, and how their errors are told.

A command parses, then hands over; what it needs is imported when it runs.
"""

import io
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final, NoReturn

import typer

from node.checks import doctor, verify
from node.configshow import config_app
from node.files import EXPORT_HELP, export, import_
from node.keys import identity_app, swarm_key_app
from node.service import service_app
from node.showing import board, feed, show, watch
from node.start import invite, join, swarm
from node.task import task_app
from node.trying import propose, run, simulate

OWN_PACKAGES: Final = frozenset({"node", "agent", "gossip", "trainer"})

app = typer.Typer(
    name="arnode",
    help="A peer-to-peer network of autonomous machine-learning researchers.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def common(
    context: typer.Context,
    home: Annotated[
        Path | None,
        typer.Option(
            "--home", metavar="DIR", envvar="ARNODE_HOME", readable=False, help="State folder (default: by platform)."
        ),
    ] = None,
) -> None:
    """A peer-to-peer network of autonomous machine-learning researchers."""
    context.obj = home


app.command()(join)
app.command()(invite)
app.command()(swarm)
app.command()(run)
app.command()(propose)
app.command()(feed)
app.command()(watch)
app.command()(board)
app.command()(show)
app.command(help=EXPORT_HELP)(export)
app.command("import")(import_)
app.command()(doctor)
app.command()(simulate)
app.command()(verify)
app.add_typer(task_app, name="task")
app.add_typer(swarm_key_app, name="swarm-key")
app.add_typer(identity_app, name="identity")
app.add_typer(config_app, name="config")
app.add_typer(service_app, name="service")


@contextmanager
def _named_errors() -> Iterator[None]:
    """Turn arnode's own named errors into one line and exit status 1; everything else is a bug and shows its trace."""
    try:
        yield
    except (Exception, BaseExceptionGroup) as error:
        if _reader_left(error):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(1)
        named = _own_errors(error)
        if not named:
            raise
        for one in named:
            typer.secho(f"arnode: {one}", fg="red", err=True)
        sys.exit(1)


def _reader_left(error: BaseException) -> bool:
    """Whether whoever read standard output, such as `head`, has had enough."""
    if isinstance(error, BaseExceptionGroup):
        return any(_reader_left(inner) for inner in error.exceptions)
    return isinstance(error, BrokenPipeError)


def _own_errors(error: BaseException) -> list[BaseException]:
    """The named errors in it, or nothing if there is anything else in it."""
    if isinstance(error, BaseExceptionGroup):
        parts = [_own_errors(inner) for inner in error.exceptions]
        return [one for part in parts for one in part] if all(parts) else []
    return [error] if type(error).__module__.partition(".")[0] in OWN_PACKAGES else []


def main() -> NoReturn:
    """The entry point of the `arnode` command."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that knows no ★ still gets its lines
    signal.signal(signal.SIGINT, signal.default_int_handler)  # also when a shell started it in the background
    with _named_errors():
        app()
    raise AssertionError("typer ends the process itself")


if __name__ == "__main__":
    main()
