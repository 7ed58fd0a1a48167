"""Reading the files of another program's folder."""

from pathlib import Path
from types import ModuleType

from trainer.errors import TaskError


def read_text(file: Path) -> str:
    """A file's text with normalised line ends. Raises TaskError."""
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise TaskError(f"cannot read {file}: {error}") from error


def source_of(runner: ModuleType) -> str:
    """The source of a module that is put beside a program to run it."""
    assert runner.__file__ is not None
    return Path(runner.__file__).read_text(encoding="utf-8")
