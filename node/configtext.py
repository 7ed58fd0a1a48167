"""Settings as text: for a person, for a file to fill in, for the environment of another node."""

from collections.abc import Iterable
from typing import Final

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from node.config import SETTINGS, Loaded, value_of, variable

MASK: Final = "***"


def shown(value: object) -> str:
    """A value as a person reads it: a secret is masked."""
    return MASK if isinstance(value, SecretStr) else "–" if value in (None, ()) else _in_words(value)


def template() -> str:
    """A file that names every setting with its meaning, all commented out."""
    parts = [
        "# Settings of this node; what is commented out is at its default. `arnode config show` tells what applies.\n"
    ]
    section = ""
    for key, field in SETTINGS.items():
        here, _, name = key.rpartition(".")
        if here != section:
            section = here
            parts.append(f"[{section}]\n")
        parts.append(f"# {field.description}\n# {name} = {_example(field)}\n")
    return "\n".join(parts)


def _example(field: FieldInfo) -> str:
    """A value in TOML: the default, or an empty one of the type where there is none."""
    if isinstance(field.default, bool):
        return str(field.default).lower()
    if isinstance(field.default, (int, float)):
        return str(field.default)
    if field.default == ():
        return "[]"
    if field.annotation in (int | None, float | None):
        return "0"
    return f'"{field.default or ""}"'


def as_environment(loaded: Loaded, keys: Iterable[str]) -> dict[str, str]:
    """Variables that say to another node what was said here, of those keys. Secrets are in them."""
    return {variable(key): _in_words(value_of(loaded.config, key)) for key in keys if key in loaded.sources}


def _in_words(value: object) -> str:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, bool):
        return str(value).lower()
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
