"""`arnode doctor` and `verify`: what is wrong with a node, or with a file of records. Parses, then hands over, as
`node.cli` does.
"""

from pathlib import Path
from typing import Annotated

import typer

from node import complete
from node.options import Json


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


def verify(
    file: Annotated[Path, typer.Argument(metavar="FILE.jsonl", exists=True, dir_okay=False, readable=True)],
    json: Json = False,
) -> None:
    """Check ids and signatures of exported records, offline, line by line."""
    from node.look import show_verified

    raise typer.Exit(0 if show_verified(file, json=json) else 1)
