"""Write docs/cli.md, the reference of the command line, from the commands themselves.

python -m scripts.cli_reference          writes it
python -m scripts.cli_reference --check  says whether it is current, by its exit status

typer has a generator too; what that writes changes with its version, and this page is compared byte by byte in a test.
"""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import typer

from node.cli import app

PAGE = Path(__file__).parents[1] / "docs" / "cli.md"
HEAD = """\
# Command line

Every command and option of `arnode`, written from the program by `make docs`. Exit status 0: done; 1: failed, and one
line on standard error says why; 2: wrong usage.
"""


def reference() -> str:
    """The page."""
    lines = [HEAD, *_command(typer.main.get_command(app), "arnode", "##")]
    return "\n".join(lines).rstrip() + "\n"


def _command(command: Any, path: str, heading: str) -> Iterator[str]:
    yield f"{heading} `{path}`"
    yield ""
    yield _prose(command.help or "")
    yield ""
    arguments = [param for param in command.params if param.param_type_name == "argument"]
    options = [param for param in command.params if param.param_type_name == "option" and not _is_shell(param)]
    commands = getattr(command, "commands", {})
    words = [path, *(["[OPTIONS]"] if options else []), *map(_argument, arguments), *(["COMMAND"] if commands else [])]
    yield f"```\n{' '.join(words)}\n```"
    yield ""
    types = get_type_hints(command.callback) if command.callback else {}
    rows = [(_argument(one), _said(one)) for one in arguments if one.help]
    rows += [(_names(one, types), _said(one)) for one in options]
    if rows:
        yield from (f"- `{names}`: {said}" for names, said in rows)
        yield ""
    for name, inner in commands.items():
        if not inner.hidden:
            yield from _command(inner, f"{path} {name}", "##" if path == "arnode" else "###")


def _prose(text: str) -> str:
    """A command's words; what `\\b` keeps together for a terminal is kept together here."""
    return "\n\n".join(
        f"```\n{part.removeprefix(chr(8)).strip()}\n```" if part.startswith("\b") else " ".join(part.split())
        for part in text.split("\n\n")
    )


def _argument(param: Any) -> str:
    name = param.metavar or param.name.upper()
    return name if param.required or name.startswith("[") else f"[{name}]"


def _names(param: Any, types: Mapping[str, Any]) -> str:
    names = ", ".join([*param.opts, *param.secondary_opts])
    return names if param.is_flag else f"{names} {param.metavar or _values(types[param.name])}"


def _values(annotation: Any) -> str:
    """What may stand after an option: its choices, or what sort of thing."""
    if get_origin(annotation) is Literal:
        return "|".join(get_args(annotation))
    inner = [_values(part) for part in get_args(annotation)]
    names = {int: "N", float: "N", str: "TEXT", Path: "FILE"}
    return next((name for name in inner if name), "") or names.get(annotation, "")


def _is_shell(param: Any) -> bool:
    """Whether it is one of those that typer adds to every program."""
    return bool({"--help", "--install-completion", "--show-completion"} & set(param.opts))


def _said(param: Any) -> str:
    said = [param.help or ""]
    if param.default not in (None, False, True, ()) and not param.required and not callable(param.default):
        said.append(f"Default: `{param.default}`.")
    if param.envvar:
        said.append(f"Or set `{param.envvar}`.")
    return " ".join(said)


def main() -> int:
    """Write the page, or check it."""
    if "--check" not in sys.argv:
        PAGE.write_text(reference(), encoding="utf-8")
        return 0
    if PAGE.read_text(encoding="utf-8") == reference():
        return 0
    print(f"{PAGE} is not current: run `make docs`", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
