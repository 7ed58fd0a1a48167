"""A new task to make one's own of: a copy of `configs/template`, a program that prints a number, with all explained."""

import importlib.resources
from pathlib import Path
from typing import Final

from trainer.errors import TaskError
from trainer.schema import TASK_NAME

NAME_IN_TEMPLATE: Final = 'name = "my-task"'


def new_task(folder: Path) -> list[Path]:
    """Write the template into a new folder, whose name becomes the task's; returns the files.

    Raises:
        TaskError: the folder is there already, its name is none for a task, or it cannot be written.
    """
    name = folder.name
    if not TASK_NAME.fullmatch(name):
        raise TaskError(f"{name!r} is no name for a task: letters, digits, dots, dashes and underscores, at most 64")
    template = importlib.resources.files("configs") / "template"
    written: list[Path] = []
    try:
        folder.mkdir(parents=True)
        for source in sorted(template.iterdir(), key=lambda entry: entry.name):
            if source.is_file():
                text = source.read_text(encoding="utf-8").replace(NAME_IN_TEMPLATE, f'name = "{name}"')
                (folder / source.name).write_text(text, encoding="utf-8")
                written.append(folder / source.name)
    except FileExistsError as error:
        raise TaskError(f"{folder} is there already, and nothing is overwritten: choose another name") from error
    except OSError as error:
        raise TaskError(f"cannot write {folder}: {error.strerror}") from error
    return written
