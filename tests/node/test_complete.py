"""Tab in a real bash, with the script that typer installs: what is offered, and that it comes without heavy imports."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from node.cli import app
from tests.e2e.processes import ROOT
from tests.node.lab import make_task, open_lab

HEAVY = {"torch", "libp2p", "numpy", "optuna", "litellm", "trio"}
PROGRAM = f"""\
#!{sys.executable}
import atexit, sys
atexit.register(lambda: open(__file__ + ".loaded", "w").write(" ".join(sys.modules)))
from node.cli import main
main()
"""


def offered(program: Path, *words: str) -> list[str]:
    """What bash offers after these words, the last of which is being typed."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PATH": f"{program.parent}:{os.environ['PATH']}"}
    script = subprocess.run(
        [program], env=environment | {"_ARNODE_COMPLETE": "source_bash"}, capture_output=True, text=True, check=True
    )
    press_tab = (
        f"{script.stdout}\nCOMP_WORDS=(arnode {' '.join(map(json.dumps, words))}); COMP_CWORD={len(words)}\n"
        "$(complete -p arnode | sed 's/.*-F \\([^ ]*\\).*/\\1/') arnode\n"
        'printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(
        ["bash", "--norc", "-c", press_tab], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    return done.stdout.split()


def test_a_record_and_a_knob_are_offered_in_bash_and_nothing_heavy_is_loaded_for_them(tmp_path: Path) -> None:
    with open_lab(tmp_path) as lab:
        record = lab.write(lab.result({"INIT": "normal"}))
    program = tmp_path / "arnode"
    program.write_text(PROGRAM)
    program.chmod(0o755)
    home = str(tmp_path / "home")
    for words, wanted in (
        (["show", record.id.hex()[:3]], [record.id.hex()[:10]]),
        (["run", "--set", ""], ["INIT=", "DEPTH=", "RATE="]),
    ):
        assert offered(program, "--home", home, *words) == wanted
        loaded = Path(f"{program}.loaded").read_text().split()
        assert "node.complete" in loaded
        assert HEAVY.isdisjoint(loaded)


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["run", "--task", "story"], ["story-cpu"]),
        (["join", "--config", "l"], ["laptop"]),
        (["join", "--swarm", ""], ["lab", "main"]),
        (["export", "--what", "b"], ["best", "baseline"]),
        (["propose", "--base", "bes"], ["best"]),
        (["run", "--set", "IN"], ["INIT=default", "INIT=normal", "INIT=zeros"]),
        (["run", "--set", "INIT=n"], ["INIT=normal"]),
        (["run", "--set", "NO"], []),
        (["run", "--task", "no-such", "--set", ""], []),
        (["show", ""], []),
        (["show", "zz"], []),
    ],
)
def test_what_is_offered_is_what_there_is(words: list[str], wanted: list[str], tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "peers-lab.json").write_text("[]")
    (home / "task").write_text(str(make_task(tmp_path / "toy")))
    line = ["arnode", "--home", str(home), *words]
    variables = {"COMP_WORDS": "\n".join(line), "COMP_CWORD": str(len(line) - 1), "_ARNODE_COMPLETE": "complete_bash"}
    done = CliRunner().invoke(app, env=variables, prog_name="arnode")
    assert isinstance(done.exception, SystemExit | None)
    assert done.stdout.split() == wanted
