"""A configuration file: TOML, each value with the line that it stands on."""

import tomllib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Final

from gossip.private_file import PrivateFileError, read_private

PROFILES: Final = ("laptop", "h100", "server")


class ConfigError(Exception):
    """A setting cannot be used; the message names where it stands and what is wrong with it, a line for each."""


@dataclass(frozen=True)
class Given:
    """A value as it was said, and where: a flag, a variable, `FILE:LINE`."""

    value: object
    where: str


def profile_file(chosen: str) -> Path:
    """The file that is meant: a profile's name, else a path."""
    if chosen in PROFILES:
        return Path(str(resources.files("configs") / f"{chosen}.toml"))
    return Path(chosen).expanduser().absolute()


def read_file(
    path: Path, sections: Collection[str], secrets: Collection[str], *, optional: bool = False
) -> dict[str, Given]:
    """What the file says, by key; a section's keys are `section.key`. Raises ConfigError.

    secrets: keys that a file which others can read may not hold. optional: one that is not there says nothing.
    """
    try:
        text = path.read_text(encoding="utf-8")
        data = tomllib.loads(text)
    except OSError as error:
        if optional and isinstance(error, (FileNotFoundError, NotADirectoryError)):
            return {}
        hint = f"; the profiles are {', '.join(PROFILES)}" if isinstance(error, FileNotFoundError) else ""
        raise ConfigError(f"cannot read {path}: {error.strerror}{hint}") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path}: this is not TOML: {error}") from error
    lines = _lines(text, sections)
    found = {key: Given(_beside(path, key, value), f"{path}:{lines[key]}") for key, value in _flat(data, sections)}
    for key in sorted(found.keys() & set(secrets)):
        try:
            read_private(path)
        except PrivateFileError as error:
            raise ConfigError(f"{found[key].where}: {key} is a secret, but {error}") from error
    return found


def _flat(data: Mapping[str, Any], sections: Collection[str]) -> Iterator[tuple[str, Any]]:
    for name, value in data.items():
        if name in sections and isinstance(value, dict):
            yield from ((f"{name}.{inner}", one) for inner, one in value.items())
        else:
            yield name, value


def _lines(text: str, sections: Collection[str]) -> dict[str, int]:
    """The line on which each key's statement begins, from 1.

    The parser tells no positions, but it does tell which first lines of the file are a whole file: a key that is in
    such a beginning, and was in none before, belongs to the statement in between.
    """
    lines = text.split("\n")
    found: dict[str, int] = {}
    whole = 0
    for end in range(1, len(lines) + 1):
        try:
            data = tomllib.loads("\n".join(lines[:end]))
        except tomllib.TOMLDecodeError:
            continue
        for key, _ in _flat(data, sections):
            found.setdefault(key, whole + 1)
        whole = end
    return found


def _beside(file: Path, key: str, value: object) -> object:
    """A path in a file is meant from the file's folder."""
    if isinstance(value, str) and (key == "swarm_key" or (key == "task" and "/" in value)):
        return str(file.parent / Path(value).expanduser())
    return value
