"""`arnode run`, `propose` and `simulate`: what is tried, here or in virtual time. Parses, then hands over, as
`node.cli` does.
"""

from pathlib import Path
from typing import Annotated

import typer

from node import complete
from node.options import Json, TaskOption, home_of


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
