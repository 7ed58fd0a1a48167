"""What `arnode doctor` says of the sandbox, on this machine and on systems that are not at hand."""

import shutil
import subprocess
from pathlib import Path

import pytest

from node.finding import Case
from node.home import Home
from node.walls import BUILD_COMMAND, PROFILE, PROFILE_COMMAND, SYSCTL_COMMAND, remedy, sandbox, sandbox_finding
from trainer.attacks import ATTACKS
from trainer.bubblewrap import Bubblewrap
from trainer.cgroup import Scope
from trainer.errors import Obstacle, SandboxError
from trainer.landlock import Landlock
from trainer.sandbox import Sandbox

DEBIAN = {"ID": "debian", "VERSION_ID": "12"}
JAMMY = {"ID": "ubuntu", "ID_LIKE": "debian", "VERSION_ID": "22.04"}
NOBLE = {"ID": "ubuntu", "ID_LIKE": "debian", "VERSION_ID": "24.04"}
FEDORA = {"ID": "fedora", "VERSION_ID": "41"}
SILENT: dict[str, str] = {}


@pytest.mark.skipif(shutil.which("bwrap") is None, reason="bubblewrap is not installed")
def test_a_sandbox_that_stands_is_named_with_the_attacks_that_it_stood(tmp_path: Path) -> None:
    (found,) = sandbox(Case(Home(tmp_path)))
    assert (found.status, found.data["mechanism"], found.data["attacks_held"]) == ("ok", "bubblewrap", len(ATTACKS))


def test_whether_there_is_a_cgroup_is_said_and_why_not_and_is_no_failure() -> None:
    walls = Bubblewrap("bwrap", "prlimit", "setpriv")
    within = sandbox_finding(Sandbox(walls, held=30, scope=Scope("systemd-run", "env")), DEBIAN, root=False)
    assert (within.status, within.data["scope"]) == ("ok", True)
    assert within.text.endswith("in a cgroup of its own")
    without = sandbox_finding(Sandbox(walls, held=30, no_scope_because="the moon is full"), DEBIAN, root=False)
    assert (without.status, without.data["scope"]) == ("ok", False)
    assert without.text.endswith("no cgroup around it: the moon is full")


@pytest.mark.parametrize(
    ("obstacle", "system", "root", "command"),
    [
        ("missing", DEBIAN, False, "sudo apt install -y bubblewrap"),
        ("missing", NOBLE, True, "sudo apt install -y bubblewrap"),
        ("missing", NOBLE, False, f"sudo apt install -y bubblewrap && {PROFILE_COMMAND}"),
        ("missing", JAMMY, False, BUILD_COMMAND),
        ("missing", FEDORA, False, "sudo dnf install -y bubblewrap"),
        ("missing", SILENT, False, ""),
        ("old", JAMMY, False, BUILD_COMMAND),
        ("old", SILENT, False, ""),
        ("namespaces", NOBLE, False, PROFILE_COMMAND),
        ("namespaces", DEBIAN, False, SYSCTL_COMMAND),
        ("namespaces", DEBIAN, True, ""),
        ("leaks", NOBLE, False, ""),
    ],
)
def test_each_obstacle_has_its_remedy_on_each_system(
    obstacle: Obstacle, system: dict[str, str], root: bool, command: str
) -> None:
    found = sandbox_finding(SandboxError("of itself", obstacle), system, root=root)
    assert (found.status, found.command) == ("warning", command)
    assert found.advice
    assert "of itself" in found.text


def test_the_command_writes_the_profile_that_the_page_shows() -> None:
    written = subprocess.run(["sh", "-c", f"printf '{PROFILE}'"], capture_output=True, text=True, check=True).stdout
    assert written in (Path(__file__).parents[2] / "docs" / "sandbox.md").read_text()


def test_what_stands_in_is_a_warning_with_the_way_to_the_real_one() -> None:
    fallback = Sandbox(Landlock(()), "bubblewrap is missing", "missing", 30)
    found = sandbox_finding(fallback, DEBIAN, root=False)
    assert (found.status, found.command) == ("warning", remedy("missing", DEBIAN, root=False)[1])
    assert "landlock: all 30 attacks" in found.text
