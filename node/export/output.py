"""Where an export goes: standard output, or a file that is written whole or not at all."""

import os
import shutil
import sys
from pathlib import Path

from node.export.choice import ExportError


def put(made: str | bytes, output: Path | None) -> None:
    """Write an export to the file, in place of what it held, or to standard output. Raises ExportError."""
    if output is not None:
        _to_file(made.encode() if isinstance(made, str) else made, output.resolve())
    elif isinstance(made, str):
        sys.stdout.write(made)
    elif sys.stdout.isatty():
        raise ExportError("this form is binary and a terminal shows text: name a file with -o FILE")
    else:
        sys.stdout.buffer.write(made)


def _to_file(data: bytes, output: Path) -> None:
    try:
        if output.exists() and not output.is_file():
            output.write_bytes(data)  # a pipe or device, which nothing can take the place of
            return
        temporary = output.with_name(f".{output.name}.{os.getpid()}.new")
        try:
            temporary.write_bytes(data)
            if output.exists():
                shutil.copymode(output, temporary)
            os.replace(temporary, output)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise ExportError(f"cannot write {output}: {error.strerror}") from error
