"""`arnode task`: list tasks, check one, begin a new one. Parses, then hands over, as `node.cli` does."""

import json as jsonlib
from pathlib import Path
from typing import Annotated, Final, Optional

import typer

from node import complete
from node.options import Json

task_app: Final = typer.Typer(help="List the built-in tasks, check a task, begin one of your own.")


@task_app.callback(invoke_without_command=True)
def task(context: typer.Context) -> None:
    """List the built-in tasks, check a task, begin one of your own."""
    if context.invoked_subcommand is None:
        list_tasks()


@task_app.command("list")
def list_tasks(json: Json = False) -> None:
    """List the tasks that come with arnode."""
    from trainer.task import built_in_tasks, load_task

    for name in built_in_tasks():
        loaded = load_task(name)
        row = {
            "name": name,
            "title": loaded.title,
            "metric": loaded.metric.name,
            "direction": loaded.metric.direction,
            "budget": loaded.budget.model_dump(),
            "knobs": len(loaded.knobs),
            "fingerprint": loaded.fingerprint_hex,
        }
        typer.echo(jsonlib.dumps(row, ensure_ascii=False) if json else f"{name:<24} {loaded.title}")


@task_app.command("check")
def check(
    context: typer.Context,
    task: Annotated[
        Optional[str],  # noqa: UP045 - typer reads it at run time on every Python
        typer.Argument(
            metavar="[NAME|FOLDER]",
            autocompletion=complete.tasks,
            help="The task (default: the last one here, else story-cpu).",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Run a task's program a few times and say what is wrong, what it costs and how much its value varies."""
    from node.doctor import show_findings
    from node.home import locate_home
    from node.state import remembered_task
    from node.taskcheck import examine_task

    findings = examine_task(task or remembered_task(locate_home(context.obj)))
    raise typer.Exit(0 if show_findings(findings, json=json) else 1)


@task_app.command("new")
def new(folder: Annotated[Path, typer.Argument(metavar="NAME", help="Its name: a folder is made for it.")]) -> None:
    """Write a folder with a small task, commented, to make your own of."""
    from trainer.template import new_task

    for file in new_task(folder):
        typer.echo(file)
    typer.echo(f"\nCheck it with `arnode task check {folder}`, then put your own program in place of the example.")
