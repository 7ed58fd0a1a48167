"""`arnode config`: which settings apply and where each came from; a file to begin with."""

import json as jsonlib
import os
from typing import TYPE_CHECKING, Final

import typer

from node.options import ConfigOption, Json, home_of

if TYPE_CHECKING:
    from node.config import Loaded
    from node.home import Home

config_app: Final = typer.Typer(no_args_is_help=True, help="Show the settings and where they come from.")


@config_app.command("show")
def config_show(context: typer.Context, config: ConfigOption = None, json: Json = False) -> None:
    """Show every setting, its value, and where that came from. Secrets are masked."""
    from node.config import SETTINGS, load_config, value_of
    from node.configtext import shown

    home = home_of(context)
    loaded = load_config(home, os.environ, {}, config)
    if json:
        for key in SETTINGS:
            row = {"key": key, "value": _plain(loaded, key), "source": loaded.sources.get(key, "default")}
            typer.echo(jsonlib.dumps(row, ensure_ascii=False))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("setting", no_wrap=True)
    table.add_column("value", overflow="fold")
    table.add_column("from", overflow="fold", style="dim")
    for key in SETTINGS:
        source = loaded.sources.get(key)
        table.add_row(key, shown(value_of(loaded.config, key)), source or "default", style=None if source else "dim")
    console = Console(markup=False, highlight=False, emoji=False)
    console.print(table)
    console.print(f"\n{_of_file(home)}", soft_wrap=True)


@config_app.command("init")
def config_init(context: typer.Context) -> None:
    """Write a config.toml that names every setting, all of them left at their defaults. Nothing is overwritten."""
    from gossip.private_file import PrivateFileError, write_private
    from node.configfile import ConfigError
    from node.configtext import template

    path = home_of(context).config
    try:
        write_private(path, template().encode())
    except FileExistsError:
        raise ConfigError(f"{path} is there already: edit it, or move it away") from None
    except PrivateFileError as error:
        raise ConfigError(str(error)) from error
    typer.echo(path)


def _plain(loaded: "Loaded", key: str) -> object:
    from pydantic import SecretStr

    from node.config import value_of
    from node.configtext import MASK

    value = value_of(loaded.config, key)
    return (
        MASK
        if isinstance(value, SecretStr)
        else value
        if isinstance(value, (int, float, tuple, type(None)))
        else str(value)
    )


def _of_file(home: "Home") -> str:
    path = home.config
    return f"{path}" if path.exists() else f"{path} is not there; `arnode config init` writes one to fill in"
