"""The command line: `arnode`. Parses, then hands over; what a command needs is imported when it runs."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NoReturn, Optional

import typer

OWN_PACKAGES: Final = frozenset({"node", "agent", "gossip", "trainer"})

app = typer.Typer(
    name="arnode",
    help="A peer-to-peer network of autonomous machine-learning researchers.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Json = Annotated[bool, typer.Option("--json", help="Print JSON, one object to a line.")]
TaskOption = Annotated[
    Optional[str],  # noqa: UP045 - typer reads it at run time on every Python
    typer.Option("--task", metavar="NAME|FOLDER", help="What to work on (default: the last one here, else story-cpu)."),
]


@app.callback()
def common(
    context: typer.Context,
    home: Annotated[
        Path | None,
        typer.Option("--home", metavar="DIR", envvar="ARNODE_HOME", help="State folder (default: by platform)."),
    ] = None,
) -> None:
    """A peer-to-peer network of autonomous machine-learning researchers."""
    context.obj = home


def _home(context: typer.Context) -> Any:
    from node.home import open_home

    return open_home(context.obj)


@app.command()
def join(
    context: typer.Context,
    bootstrap: Annotated[
        list[str] | None, typer.Option("--bootstrap", metavar="ADDR", help="A peer to join, as it printed it.")
    ] = None,
    listen: Annotated[
        list[str] | None,
        typer.Option("--listen", metavar="ADDR", help="Where to listen (default: port 4477, or a free one if taken)."),
    ] = None,
    swarm: Annotated[str, typer.Option(help="The swarm's name.")] = "main",
    task: TaskOption = None,
    alias: Annotated[str | None, typer.Option(help="This node's name in feeds.")] = None,
    experiments: Annotated[int | None, typer.Option(min=0, help="Stop after so many experiments.")] = None,
    minutes: Annotated[float | None, typer.Option(min=0, help="Stop after so many minutes.")] = None,
    http: Annotated[
        str | None,
        typer.Option(
            metavar="ADDR:PORT", help="Where the local server listens (default: 127.0.0.1:4478, or a free port)."
        ),
    ] = None,
    no_http: Annotated[bool, typer.Option("--no-http", help="No local server.")] = False,
    research: Annotated[
        bool, typer.Option("--research/--no-research", help="Do research, or only keep the log and pass records on.")
    ] = True,
    json: Json = False,
) -> None:
    """Join a swarm: do research, share what comes of it, and show the live feed."""
    import trio

    from node.feed import Feed, feed_console
    from node.join import Options, default_listen
    from node.join import join as run
    from node.names import clean_alias, clean_swarm

    options = Options(
        bootstrap=bootstrap or (),
        listen=listen or default_listen(),
        swarm=clean_swarm(swarm),
        task=task,
        alias=clean_alias(alias) if alias else None,
        experiments=experiments,
        minutes=minutes,
        http=http,
        serve=not no_http,
        research=research,
    )
    with Feed(feed_console(json=json), json=json) as feed:
        trio.run(run, _home(context), options, feed)


@app.command()
def swarm(
    context: typer.Context,
    nodes: Annotated[int, typer.Argument(metavar="N", min=1, max=64, help="How many nodes.")],
    minutes: Annotated[float | None, typer.Option(min=0, help="Stop after so many minutes (default: Ctrl-C).")] = None,
    task: TaskOption = None,
    json: Json = False,
) -> None:
    """Run N nodes on this machine, each a process of its own, with one merged feed and a summary at the end."""
    import trio

    from node.feed import Feed, feed_console
    from node.swarm import swarm as run

    with Feed(feed_console(json=json), json=json) as feed:
        trio.run(run, _home(context), nodes, minutes, task, feed)


@app.command()
def run(
    context: typer.Context,
    task: TaskOption = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KNOB=VALUE", help="Change a knob of the program.")
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(metavar="ID|FILE", help="A record of the log, repeated with its seeds, or a JSON file."),
    ] = None,
    program: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A changed program, for example one that was patched.")
    ] = None,
    seed: Annotated[list[int] | None, typer.Option(min=0, max=2**31 - 1, help="Run with this seed.")] = None,
    json: Json = False,
) -> None:
    """Run trials without a network."""
    import trio

    from node.run import run_trials

    failed = trio.run(run_trials, _home(context), task, settings or [], recipe, program, seed or [], json)
    raise typer.Exit(1 if failed else 0)


@app.command()
def feed(
    context: typer.Context,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what arrives.")] = False,
    last: Annotated[int, typer.Option("--last", "-n", min=0, help="How many records to begin with.")] = 50,
    task: TaskOption = None,
    json: Json = False,
) -> None:
    """Show the records of this node's log, whether it runs or not."""
    from node.feed import Feed, feed_console
    from node.look import show_feed

    with Feed(feed_console(json=json), json=json) as out:
        show_feed(_home(context), task, out, last=last, follow=follow)


@app.command()
def board(context: typer.Context, task: TaskOption = None, json: Json = False) -> None:
    """Show who has found what: the best recipe of each node, and the discoveries."""
    from node.look import show_board

    show_board(_home(context), task, json=json)


@app.command()
def show(
    context: typer.Context,
    record: Annotated[str, typer.Argument(metavar="ID", help="A record's id, or its first digits.")],
    task: TaskOption = None,
    json: Json = False,
) -> None:
    """Show one record in full."""
    from node.look import show_record

    show_record(_home(context), task, record, json=json)


@app.command()
def export(
    context: typer.Context,
    format: Annotated[  # noqa: A002 - the option's name
        Literal["patch", "program", "tsv", "jsonl"], typer.Option("--format", help="What to write.")
    ] = "patch",
    what: Annotated[
        str | None,
        typer.Option(metavar="best|baseline|kept|all|ID", help="Of what (default: best; all for tsv and jsonl)."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="Where to (default: standard output).")
    ] = None,
    task: TaskOption = None,
) -> None:
    """Write what was discovered: a patch, the changed program, results.tsv, or the signed records."""
    from node.export import export as write

    text = write(_home(context), task, format, what)
    if output is None:
        sys.stdout.write(text)
        return
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        typer.secho(f"arnode: cannot write {output}: {error.strerror}", fg="red", err=True)
        raise typer.Exit(1) from error
    typer.echo(f"written: {output}", err=True)


@app.command()
def verify(
    file: Annotated[Path, typer.Argument(metavar="FILE.jsonl", exists=True, dir_okay=False, readable=True)],
    json: Json = False,
) -> None:
    """Check ids and signatures of exported records, offline, line by line."""
    from node.look import show_verified

    raise typer.Exit(0 if show_verified(file, json=json) else 1)


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
    signal.signal(signal.SIGINT, signal.default_int_handler)  # also when a shell started it in the background
    with _named_errors():
        app()
    raise AssertionError("typer ends the process itself")


if __name__ == "__main__":
    main()
