"""The command line: `arnode`. Parses, then hands over; what a command needs is imported when it runs."""

import io
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final, NoReturn

import typer

from node import complete
from node.configshow import config_app
from node.formats import FormatName, format_lines
from node.keys import identity_app, swarm_key_app
from node.options import Json, TaskOption, Verbose, home_of
from node.service import service_app
from node.start import join, swarm
from node.task import task_app

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


@app.command()
def invite(
    context: typer.Context,
    hours: Annotated[float, typer.Option(min=0, help="For how long the invite is good.")] = 24,
    json: Json = False,
) -> None:
    """Print an invite: all that another machine needs to join this node's swarm, as text and QR code."""
    from node.invite import show_invite

    show_invite(home_of(context), hours, as_json=json)


app.command()(swarm)


@app.command()
def run(
    context: typer.Context,
    task: TaskOption = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KNOB=VALUE", autocompletion=complete.knobs, help="Change a knob of the program."
        ),
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            metavar="ID|FILE",
            autocompletion=complete.records,
            help="A record of the log, repeated with its seeds, or a JSON file.",
        ),
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

    failed = trio.run(run_trials, home_of(context), task, settings or [], recipe, program, seed or [], json)
    raise typer.Exit(1 if failed else 0)


@app.command()
def propose(
    context: typer.Context,
    text: Annotated[str, typer.Argument(metavar="TEXT", help="Why it might help, in a sentence.")],
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KNOB=VALUE", help="What to set; may be given several times.")
    ] = None,
    program: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A program with your change, for this node alone.")
    ] = None,
    base: Annotated[
        str,
        typer.Option(
            metavar="best|baseline|ID",
            autocompletion=complete.base,
            help="What you changed in it, as `export --what` names it.",
        ),
    ] = "best",
    task: TaskOption = None,
    json: Json = False,
) -> None:
    """Propose an idea of your own: the node that runs here, or is next started here, tests it first.

    Knob values, or words alone, are told to all nodes; a program is tested here.
    """
    from node.propose import propose as queue

    queue(home_of(context), task, text, settings or [], program, base, as_json=json)


@app.command()
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


@app.command()
def watch(
    context: typer.Context,
    url: Annotated[
        str | None, typer.Option(metavar="URL", help="The local server of a node (default: the one that runs here).")
    ] = None,
) -> None:
    """Watch a running node full screen: feed, board, progress, knobs, trial, peers."""
    from node.watch.app import watch as show_screen

    show_screen(home_of(context), url)


@app.command()
def board(context: typer.Context, task: TaskOption = None, json: Json = False) -> None:
    """Show who has found what: the best recipe of each node, and the discoveries."""
    from node.look import show_board

    show_board(home_of(context), task, json=json)


@app.command()
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


@app.command(help="Write what was found, for other tools and for people.\n\nThe formats:\n\n\b\n" + format_lines())
def export(
    context: typer.Context,
    format: Annotated[  # noqa: A002 - the option's name
        FormatName, typer.Option("--format", help="What to write.")
    ] = "patch",
    what: Annotated[
        str | None,
        typer.Option(
            metavar="best|baseline|kept|all|ID",
            autocompletion=complete.what,
            help="Of what (default: best for patch and program, else all).",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE", help="Where to (default: standard output)."),
    ] = None,
    task: TaskOption = None,
) -> None:
    from node.export import export as write
    from node.export.output import put
    from node.membership import load_membership

    home = home_of(context)
    put(write(home, task, format, what), output)
    if output is not None:
        typer.echo(f"written: {output}", err=True)
    membership = load_membership(home)
    if membership.key is not None:
        typer.echo(f"from the {membership.words}: whoever gets this can read it without the key", err=True)


@app.command("import")
def import_(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="results.tsv, or JSON lines such as export writes.")],
    task: TaskOption = None,
    json: Json = False,
) -> None:
    """Take in what was found elsewhere: signed records as they are, anything else as hypotheses to test."""
    from node.importing import import_file

    import_file(home_of(context), task, file, as_json=json)


@app.command()
def doctor(
    context: typer.Context,
    bootstrap: Annotated[
        list[str] | None, typer.Option("--bootstrap", metavar="ADDR", help="A peer's address to try.")
    ] = None,
    swarm: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            autocompletion=complete.swarms,
            help="The swarm's name (default: the one that this folder belongs to).",
        ),
    ] = None,
    swarm_key: Annotated[Path | None, typer.Option(metavar="FILE", help="The key of a private swarm.")] = None,
    model: Annotated[
        str | None, typer.Option(metavar="NAME", help="A language model (default: the one in config.toml, if any).")
    ] = None,
    base_url: Annotated[str | None, typer.Option(metavar="URL", help="Where the model is served.")] = None,
    ask_model: Annotated[
        bool, typer.Option("--ask-model", help="Ask the model something small, which may cost a fraction of a cent.")
    ] = False,
    json: Json = False,
) -> None:
    """Find out what is wrong with this node, its network and this machine, and what to do about it."""
    from dataclasses import replace

    try:
        from gossip.swarmkey import read_swarm_key
        from node.doctor import case_of, examine, show_findings
        from node.home import locate_home
        from node.names import clean_swarm
    except ImportError as error:
        typer.secho(f"arnode: not all that arnode needs is installed ({error}): run `make setup`", fg="red", err=True)
        raise typer.Exit(1) from error

    name = clean_swarm(swarm) if swarm else None
    key = read_swarm_key(swarm_key) if swarm_key else None
    case = case_of(locate_home(context.obj), name, bootstrap or (), key)
    case = replace(case, llm={"llm.model": model, "llm.base_url": base_url}, ask_model=ask_model)
    raise typer.Exit(0 if show_findings(examine(case), json=json) else 1)


@app.command()
def simulate(
    scenario: Annotated[
        str | None,
        typer.Argument(metavar="SCENARIO", autocompletion=complete.scenarios, help="A scenario's name, or its file."),
    ] = None,
    every: Annotated[bool, typer.Option("--list", help="List the scenarios that come with arnode.")] = False,
    nodes: Annotated[int | None, typer.Option(min=1, help="So many nodes, each sort's share kept.")] = None,
    minutes: Annotated[float | None, typer.Option(min=0, help="So many virtual minutes.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, max=2**31, help="What all randomness follows from.")] = None,
    short: Annotated[bool, typer.Option("--short", help="The scenario's short form.")] = False,
    out: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Write what came of it there, as JSON and Markdown.")
    ] = None,
    plots: Annotated[bool, typer.Option("--plots", help="Write pictures too, as SVG (in --out, or here).")] = False,
    json: Json = False,
) -> None:
    """Run a swarm of simulated nodes in virtual time, and check what has to hold of it."""
    from node.simulation import command

    if every or scenario is None:
        command.list_scenarios(short=short, json=json)
        return
    folder = out if out is not None or not plots else Path()
    holds = command.simulate(
        scenario, nodes=nodes, minutes=minutes, seed=seed, short=short, out=folder, plots=plots, json=json
    )
    raise typer.Exit(0 if holds else 1)


@app.command()
def verify(
    file: Annotated[Path, typer.Argument(metavar="FILE.jsonl", exists=True, dir_okay=False, readable=True)],
    json: Json = False,
) -> None:
    """Check ids and signatures of exported records, offline, line by line."""
    from node.look import show_verified

    raise typer.Exit(0 if show_verified(file, json=json) else 1)


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
