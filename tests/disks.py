"""Disks that are really full, and files that are really damaged."""

import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

needs_mount = pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0 or shutil.which("mount") is None,
    reason="mounting a small disk takes root on Linux",
)


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[Path]:
    """A disk of that size at `folder`, which is made."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def fill(folder: Path) -> Path:
    """Fill the disk at `folder` to the last byte; the file that does so."""
    ballast = folder / "ballast"
    with ballast.open("ab", buffering=0) as file:
        for size in (65536, 4096, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue
    return ballast


def damage(path: Path, how: str) -> None:
    """Damage a file: all of it, its first page, its middle, its end cut off, or emptied."""
    size = path.stat().st_size
    rng = random.Random(7)
    match how:
        case "all":
            path.write_bytes(rng.randbytes(size))
        case "empty":
            path.write_bytes(b"")
        case "half":
            os.truncate(path, size // 2)
        case "beginning" | "middle":
            start, length = (0, 4096) if how == "beginning" else (size // 2, size // 4)
            with path.open("r+b") as file:
                file.seek(start)
                file.write(rng.randbytes(length))
