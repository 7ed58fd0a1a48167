"""`arnode export` and `import`: what was found, as files. Parses, then hands over, as `node.cli` does."""

from pathlib import Path
from typing import Annotated, Final

import typer

from node import complete
from node.formats import FormatName, format_lines
from node.options import Json, TaskOption, home_of

EXPORT_HELP: Final = "Write what was found, for other tools and for people.\n\nThe formats:\n\n\b\n" + format_lines()


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
    """Write what was found; EXPORT_HELP is what a person reads."""
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


def import_(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="results.tsv, or JSON lines such as export writes.")],
    task: TaskOption = None,
    json: Json = False,
) -> None:
    """Take in what was found elsewhere: signed records as they are, anything else as hypotheses to test."""
    from node.importing import import_file

    import_file(home_of(context), task, file, as_json=json)
