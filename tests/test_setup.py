"""Setting up: what is missing on a machine is named, with the command that installs it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "scripts" / "require-system"


def require(folder: Path, *programs: str, python: str = sys.executable) -> subprocess.CompletedProcess[str]:
    """Run the script where only these programs are found."""
    folder.mkdir()
    for program in programs:
        found = shutil.which(program)
        assert found, program
        (folder / program).symlink_to(found)
    environment = os.environ | {"PATH": str(folder)}
    return subprocess.run(["/bin/sh", SCRIPT, python], env=environment, capture_output=True, text=True, check=False)


def test_a_machine_that_has_all_passes() -> None:
    assert subprocess.run([SCRIPT, sys.executable], capture_output=True, check=False).returncode == 0


def test_a_missing_compiler_is_named(tmp_path: Path) -> None:
    done = require(tmp_path / "bin", "id")
    assert done.returncode == 1
    assert "missing: gcc" in done.stderr


@pytest.mark.parametrize("header", ["gmp.h", "Python.h"])
def test_a_missing_header_is_named(tmp_path: Path, header: str) -> None:
    compiler = tmp_path / "bin" / "gcc"
    compiler.parent.mkdir()
    # a compiler that finds every header but one
    compiler.write_text(f'#!/bin/sh\nread -r line\ncase "$line" in *{header}*) exit 1;; esac\n')
    compiler.chmod(0o755)
    environment = os.environ | {"PATH": str(compiler.parent)}
    done = subprocess.run(
        ["/bin/sh", SCRIPT, sys.executable], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert f"missing: {header}" in done.stderr


def test_the_command_that_installs_it_is_shown(tmp_path: Path) -> None:
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, text in (("brew", "#!/bin/sh\n"), ("id", "#!/bin/sh\necho 1000\n")):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    done = subprocess.run(
        ["/bin/sh", SCRIPT, sys.executable],
        env=os.environ | {"PATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "brew install gcc gmp" in done.stderr
