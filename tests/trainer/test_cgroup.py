"""Trials in cgroup scopes: through a stand-in for `systemd-run`, and through the real one where there is one."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import trio

from tests.trainer.toys import toy_task
from trainer import sandbox as sandboxes
from trainer.attacks import ATTACKS
from trainer.bubblewrap import SHM_MB, TMP_MB, find_bubblewrap
from trainer.cgroup import Scope, find_scope
from trainer.sandbox import THREADS_PER_PROCESS, WALLS_TASKS, Sandbox, find_sandbox
from trainer.trial import Trial, run_trial

pytestmark = pytest.mark.skipif(shutil.which("bwrap") is None, reason="bubblewrap is not installed")

# As `systemd-run --scope` does, it takes its options and becomes the command, whose environment and descriptors are its
# own. The limits it only writes down: where the kernel would show them, and, with its own environment, in `calls`.
STAND_IN = """#!/bin/sh
if [ "$1" = --help ]; then echo "  --expand-environment=BOOL"; exit; fi
said="$*"
while [ "$1" != -- ]; do
    case "$1" in
        --property=MemoryMax=*) memory="${1##*=}" ;;
        --property=TasksMax=*) tasks="${1##*=}" ;;
        --*) ;;
        *) echo "an option of its own: $1" >&2; exit 1 ;;
    esac
    shift
done
shift
group="HERE$(sed -n s/^0:://p /proc/self/cgroup)"
mkdir -p "$group"
echo "$memory" > "$group/memory.max"
echo "$tasks" > "$group/pids.max"
printf '%s|%s|%s\\n' "$XDG_RUNTIME_DIR" "$DBUS_SESSION_BUS_ADDRESS" "${said%% -- *}" >> HERE/calls
exec "$@"
"""

LOOKS_FOR_THE_BUS = """
    import os
    from pathlib import Path
    seen = [f"{name}={value}" for name, value in os.environ.items()]
    for entry in Path("/proc").glob("[0-9]*/environ"):
        try:
            seen.append(entry.read_text())
        except OSError:
            pass
    assert any("ARNODE_SEED" in text for text in seen)
    print("---\\nscore:", sum("XDG" in text or "the/bus" in text for text in seen))
"""

MANY = """
    import os, time
    for _ in range(9):
        if os.fork() == 0:
            break
    time.sleep(60)
"""


def stand_in(folder: Path, text: str = STAND_IN) -> str:
    """The program's path. `folder` holds what a system with unified cgroups would."""
    (folder / "cgroup.controllers").write_text("cpu io memory pids\n")
    path = folder / "systemd-run"
    path.write_text(text.replace("HERE", str(folder)))
    path.chmod(0o755)
    return str(path)


def on_path(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process find the folder's systemd-run and cgroups, as if they were the system's."""
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    monkeypatch.setattr(sandboxes, "find_scope", lambda: find_scope(folder))


def properties(call: str) -> dict[str, str]:
    words = [word.removeprefix("--property=") for word in call.split() if word.startswith("--property=")]
    return dict(word.split("=") for word in words)


async def run(program: str, workspace: Path, sandbox: Sandbox) -> Trial:
    task = toy_task(program, memory_mb=300, disk_mb=10, processes=5)
    with trio.fail_after(60):
        return await run_trial(task, task.files, 0, workspace=workspace, data=None, sandbox=sandbox)


async def test_a_trial_runs_in_a_scope_with_its_tasks_limits_after_the_attacks_did(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(tmp_path)
    on_path(tmp_path, monkeypatch)
    sandbox = find_sandbox()
    assert isinstance(sandbox.scope, Scope)
    assert (sandbox.held, sandbox.no_scope_because) == (len(ATTACKS), "")
    trial = await run("print('---\\nscore: 3')", tmp_path / "w", sandbox)
    assert (trial.status, trial.value) == ("ok", 3.0), trial
    tried, attacked, ran = (tmp_path / "calls").read_text().splitlines()
    assert "--expand-environment=no" in tried
    assert int(properties(attacked)["MemoryMax"]) > sandboxes.TEST_MEMORY
    assert properties(ran) == {
        "MemoryMax": str(300_000_000 + (10 + SHM_MB + TMP_MB) * 1024 * 1024),
        "MemorySwapMax": "0",
        "TasksMax": str(5 * THREADS_PER_PROCESS + WALLS_TASKS),
        "KillSignal": "SIGKILL",
    }


async def test_systemd_run_finds_the_users_bus_and_the_program_does_not(tmp_path: Path) -> None:
    scope = Scope(stand_in(tmp_path), str(shutil.which("env")), str(tmp_path), "unix:path=/the/bus")
    trial = await run(LOOKS_FOR_THE_BUS, tmp_path / "w", Sandbox(find_bubblewrap(), scope=scope))
    assert (trial.status, trial.value) == ("ok", 0.0), trial
    runtime, bus, said = (tmp_path / "calls").read_text().split("|")
    assert (runtime, bus, said.split()[0]) == (str(tmp_path), "unix:path=/the/bus", "--user")


async def test_a_failure_reads_the_same_in_a_scope(tmp_path: Path) -> None:
    sandbox = Sandbox(find_bubblewrap(), scope=Scope(stand_in(tmp_path), str(shutil.which("env"))))
    for program, status, reason in (
        ("raise ValueError('a bug')", "crash", "ValueError: a bug"),
        ("import os; os.kill(os.getpid(), 11)", "crash", "Segmentation fault"),
        (MANY, "crash", "5 processes at once"),
    ):
        trial = await run(program, tmp_path / "w", sandbox)
        assert (trial.status, reason in trial.reason) == (status, True), trial


async def test_a_user_who_logged_out_has_trials_without_a_scope(tmp_path: Path) -> None:
    scope = Scope(stand_in(tmp_path), str(shutil.which("env")), str(tmp_path / "gone"))
    trial = await run("print('---\\nscore: 3')", tmp_path / "w", Sandbox(find_bubblewrap(), scope=scope))
    assert (trial.status, (tmp_path / "calls").exists()) == ("ok", False)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("#!/bin/sh\necho Failed to connect to bus >&2\nexit 1\n", "systemd-run fails: Failed to connect to bus"),
        ("#!/bin/sh\nexit 3\n", "systemd-run fails: exit code 3"),
        (STAND_IN.replace('echo "$memory" >', "echo max >"), "not what was asked for"),
    ],
)
def test_a_scope_that_is_none_is_found_out_before_a_trial_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, reason: str
) -> None:
    stand_in(tmp_path, text)
    on_path(tmp_path, monkeypatch)
    found = find_scope(tmp_path)
    assert isinstance(found, str)
    assert reason in found


async def test_where_scopes_break_programs_the_sandbox_does_without_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # well at the first try, not with a sandbox inside
    stand_in(tmp_path, STAND_IN.replace('exec "$@"', 'case "$*" in *bwrap*) exit 9;; esac\nexec "$@"'))
    on_path(tmp_path, monkeypatch)
    sandbox = find_sandbox()
    assert (sandbox.scope, sandbox.held) == (None, len(ATTACKS))
    assert "does not stand its test in one" in sandbox.no_scope_because
    assert (await run("print('---\\nscore: 3')", tmp_path / "w", sandbox)).status == "ok"


def test_what_is_missing_for_scopes_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(tmp_path)
    assert "version 2" in str(find_scope(tmp_path / "nothing")) or shutil.which("systemd-run") is None
    on_path(tmp_path, monkeypatch)
    (tmp_path / "cgroup.controllers").write_text("cpu io\n")
    assert find_scope(tmp_path) == "the cgroups here do not control memory and pids"
    (tmp_path / "cgroup.controllers").unlink()
    assert find_scope(tmp_path) == "this system has no unified cgroups (version 2)"
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    assert find_scope(tmp_path) == "systemd-run is not installed"


@pytest.fixture
def scope() -> Scope:
    found = find_scope()
    if isinstance(found, str):
        pytest.skip(f"no scopes here: {found}")
    return found


async def test_a_trial_runs_in_a_scope_of_systemds_own(tmp_path: Path, scope: Scope) -> None:
    trial = await run("print('---\\nscore:', len('$HOME'))", tmp_path / "w", Sandbox(find_bubblewrap(), scope=scope))
    assert (trial.status, trial.value) == ("ok", 5.0), trial


def test_systemd_holds_two_processes_to_the_memory_of_both(scope: Scope) -> None:
    program = "import os; held = b'x' * (80 << 20); child = os.fork(); more = child or b'y' * (80 << 20); "
    program += "os._exit(os.wait()[1] != 0 if child else 0)"
    for megabytes, fits in ((300, True), (120, False)):
        command = scope.command([sys.executable, "-c", program], memory_bytes=megabytes << 20, tasks=16)
        assert (subprocess.run(command, timeout=20, check=False).returncode == 0) is fits
