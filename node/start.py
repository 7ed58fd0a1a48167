"""`arnode join`, `invite` and `swarm`: how nodes come into a swarm. What no flag says is a setting (node/config.py).

Parses, then hands over, as `node.cli` does.
"""

import os
from pathlib import Path
from typing import Annotated, Final, Literal

import typer

from node import complete
from node.options import ConfigOption, Json, TaskOption, Until, Verbose, home_of

MODEL: Final = "A language model that has ideas"


def join(
    context: typer.Context,
    config: ConfigOption = None,
    bootstrap: Annotated[
        list[str] | None, typer.Option("--bootstrap", metavar="ADDR", help="A peer to join, as it printed it.")
    ] = None,
    listen: Annotated[
        list[str] | None,
        typer.Option("--listen", metavar="ADDR", help="Where to listen (default: port 4477, or a free one if taken)."),
    ] = None,
    swarm: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            autocompletion=complete.swarms,
            help="The swarm's name (default: the last one here, else main).",
        ),
    ] = None,
    swarm_key: Annotated[
        Path | None, typer.Option("--swarm-key", metavar="FILE", help="The key of a private swarm.")
    ] = None,
    invite: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT", envvar="ARNODE_INVITE", help="What `arnode invite` printed elsewhere; - to paste it."
        ),
    ] = None,
    move: Annotated[
        bool, typer.Option("--move", help="Take this folder's records along, from a private swarm to another one.")
    ] = False,
    task: TaskOption = None,
    alias: Annotated[str | None, typer.Option(help="This node's name in feeds.")] = None,
    experiments: Annotated[int | None, typer.Option(min=0, help="Stop after so many experiments.")] = None,
    minutes: Annotated[float | None, typer.Option(min=0, help="Stop after so many minutes.")] = None,
    until: Until = None,
    http: Annotated[
        str | None,
        typer.Option(
            metavar="ADDR:PORT", help="Where the local server listens (default: 127.0.0.1:4478, or a free port)."
        ),
    ] = None,
    no_http: Annotated[bool, typer.Option("--no-http", help="No local server.")] = False,
    research: Annotated[
        bool | None,
        typer.Option(
            "--research/--no-research", help="Do research (default), or only keep the log and pass records on."
        ),
    ] = None,
    lan: Annotated[
        bool | None, typer.Option("--lan/--no-lan", help="Find nodes on the local network by mDNS (default).")
    ] = None,
    accept_code: Annotated[
        Literal["never", "sandbox"] | None,
        typer.Option("--accept-code", help="Whether to test code that peers wrote, locked in the sandbox."),
    ] = None,
    keep_days: Annotated[
        float | None,
        typer.Option(
            min=1, metavar="DAYS", help="Keep what others tried in vain so long, then in short (default: 30)."
        ),
    ] = None,
    archive: Annotated[
        bool | None,
        typer.Option("--archive/--no-archive", help="Keep everything (default: only without research)."),
    ] = None,
    verbose: Verbose = None,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="A language model that has ideas, as litellm names it: ollama/qwen3:8b, gpt-4o-mini, "
            "openai/NAME with --base-url (default: none, and the node searches).",
            rich_help_panel=MODEL,
        ),
    ] = None,
    base_url: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Where the model is served: http://127.0.0.1:8080/v1. Its key is ARNODE_LLM_API_KEY, if it needs one.",
            rich_help_panel=MODEL,
        ),
    ] = None,
    budget_usd: Annotated[
        float | None,
        typer.Option(min=0, help="The most that it may cost in all, in US dollars.", rich_help_panel=MODEL),
    ] = None,
    budget_usd_day: Annotated[
        float | None, typer.Option(min=0, help="The most that it may cost a day.", rich_help_panel=MODEL)
    ] = None,
    budget_tokens: Annotated[
        int | None, typer.Option(min=0, help="The most tokens that it may use in all.", rich_help_panel=MODEL)
    ] = None,
    budget_tokens_day: Annotated[
        int | None, typer.Option(min=0, help="The most tokens that it may use a day.", rich_help_panel=MODEL)
    ] = None,
    json: Json = False,
) -> None:
    """Join a swarm: do research, share what comes of it, and show the live feed."""
    import trio

    from node.config import load_config
    from node.feed import Feed, feed_console
    from node.join import join as run
    from node.wish import wish_of

    home = home_of(context)
    flags = {
        "bootstrap": bootstrap,
        "listen": listen,
        "swarm": swarm,
        "swarm_key": swarm_key,
        "task": task,
        "alias": alias,
        "experiments": experiments,
        "minutes": minutes,
        "until": until,
        "http": "off" if no_http else http,
        "research": research,
        "lan": lan,
        "accept_code": accept_code,
        "keep_days": keep_days,
        "archive": archive,
        "verbose": verbose,
        "llm.model": model,
        "llm.base_url": base_url,
        "llm.budget_usd": budget_usd,
        "llm.budget_usd_day": budget_usd_day,
        "llm.budget_tokens": budget_tokens,
        "llm.budget_tokens_day": budget_tokens_day,
    }
    said = load_config(home, os.environ, flags, config).config
    wish = wish_of(home, swarm=said.swarm, bootstrap=said.bootstrap, key_file=said.swarm_key, invite=invite, move=move)
    with Feed(feed_console(json=json), json=json, verbose=said.verbose) as feed:
        trio.run(run, home, wish, said, feed)


def swarm(
    context: typer.Context,
    nodes: Annotated[int, typer.Argument(metavar="N", min=1, max=64, help="How many nodes.")],
    config: ConfigOption = None,
    minutes: Annotated[float | None, typer.Option(min=0, help="Stop after so many minutes (default: Ctrl-C).")] = None,
    until: Until = None,
    task: TaskOption = None,
    verbose: Verbose = None,
    json: Json = False,
) -> None:
    """Run N nodes on this machine, each a process of its own, with one merged feed and a summary at the end."""
    import trio

    from node.config import load_config
    from node.feed import Feed, feed_console
    from node.swarm import swarm as run

    home = home_of(context)
    settings = load_config(
        home, os.environ, {"minutes": minutes, "until": until, "task": task, "verbose": verbose}, config
    )
    said = settings.config
    with Feed(feed_console(json=json), json=json, verbose=said.verbose) as feed:
        trio.run(run, home, nodes, settings, feed)


def invite(
    context: typer.Context,
    hours: Annotated[float, typer.Option(min=0, help="For how long the invite is good.")] = 24,
    json: Json = False,
) -> None:
    """Print an invite: all that another machine needs to join this node's swarm, as text and QR code."""
    from node.invite import show_invite

    show_invite(home_of(context), hours, as_json=json)
