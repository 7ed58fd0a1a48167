"""`arnode swarm-key` and `arnode identity`: the keys of private swarms, and of this node. Parses, then hands over."""

from pathlib import Path
from typing import Annotated, Final, Optional

import typer

from node.options import Json, home_of

swarm_key_app: Final = typer.Typer(no_args_is_help=True, help="Make and compare keys of private swarms.")


@swarm_key_app.command("new")
def swarm_key_new(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to; nothing is overwritten.")] = Path("swarm.key"),
) -> None:
    """Make a key; the nodes that join with it are a swarm of their own."""
    from gossip.swarmkey import new_swarm_key, write_swarm_key

    key = new_swarm_key()
    write_swarm_key(file, key)
    typer.echo(f"{file} (key {key.fingerprint})")


@swarm_key_app.command("show")
def swarm_key_show(file: Annotated[Path, typer.Argument(metavar="FILE")] = Path("swarm.key")) -> None:
    """Print a key's fingerprint, which says nothing about the key: two people can compare it."""
    from gossip.swarmkey import read_swarm_key

    typer.echo(read_swarm_key(file).fingerprint)


identity_app: Final = typer.Typer(no_args_is_help=True, help="Show, back up and restore the key that is this node.")
PassphraseFile = Annotated[
    Optional[Path],  # noqa: UP045 - typer reads it at run time on every Python
    typer.Option("--passphrase-file", metavar="FILE", help="Read the passphrase from a file's first line."),
]


@identity_app.command("show")
def identity_show(context: typer.Context, json: Json = False) -> None:
    """Show who this node is, and how its key is kept."""
    from node.identity import show_identity

    show_identity(home_of(context), as_json=json)


@identity_app.command("export")
def identity_export(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to; nothing is overwritten.")],
    passphrase_file: PassphraseFile = None,
) -> None:
    """Write a backup of the identity, encrypted with a passphrase."""
    from node.identity import export_identity

    export_identity(home_of(context), file, passphrase_file)


@identity_app.command("import")
def identity_import(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A backup.")],
    passphrase_file: PassphraseFile = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace another identity; its file is kept beside the new one.")
    ] = False,
) -> None:
    """Make a backup the identity of this state folder."""
    from node.identity import import_identity

    import_identity(home_of(context), file, passphrase_file, force=force)
