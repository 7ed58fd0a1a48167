"""Small secret files: for this user alone, written whole or not at all, never over another."""

import os
import stat
import tempfile
from pathlib import Path
from typing import Final

MAX_BYTES: Final = 64 * 1024


class PrivateFileError(Exception):
    """A secret file cannot be read or written; the message says why and what to do."""


def read_private(path: Path) -> bytes:
    """The bytes of a file that only its owner can read. Raises PrivateFileError."""
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise PrivateFileError(f"{path} is not a file")
            mode = stat.S_IMODE(status.st_mode)
            if mode & 0o077:
                raise PrivateFileError(f"{path} can be read by others (mode {mode:04o}): run `chmod 600 {path}`")
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise PrivateFileError(f"cannot read {path}: {error.strerror}") from error
    if len(data) > MAX_BYTES:
        raise PrivateFileError(f"{path} is larger than any file of this kind: it is another file")
    return data


def write_private(path: Path, data: bytes, *, replace: bool = False) -> None:
    """Write a file of mode 0600, which appears whole, on disk, or not at all.

    Raises FileExistsError for a path that is taken, unless it may be replaced; PrivateFileError when the disk refuses.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")  # mode 0600
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            if replace:
                os.replace(temporary, path)
            else:
                os.link(temporary, path)  # unlike rename, fails if another process was first
        finally:
            Path(temporary).unlink(missing_ok=True)
    except FileExistsError:
        raise
    except OSError as error:
        raise PrivateFileError(f"cannot write {path}: {error.strerror}") from error
