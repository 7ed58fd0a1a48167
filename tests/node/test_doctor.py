"""Doctor: right about what is wrong, on whatever it is let loose, and a reader only."""

import io
import json
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, get_args

import pytest
from rich.console import Console

from gossip.addressbook import AddressBook
from gossip.clock import now_ms
from gossip.log import Log
from gossip.probe import Outcome, Probed
from gossip.reach import Dialable
from gossip.swarmkey import new_swarm_key
from node import doctor, reachability
from node.checkup import disk_finding, files_finding
from node.doctor import case_of, examine, show_findings
from node.finding import Case, Finding
from node.home import Home, locate_home
from node.membership import Membership, remember_membership
from node.reachability import ANSWERS, bootstrap_finding, clock_finding, dialable_finding, network
from node.running import Running
from tests.e2e.processes import ROOT, arnode, running_node
from tests.gossip.nodes import new_identity, record

ADDRESS = "/ip4/192.0.2.7/tcp/4477/p2p/12D3KooWGrJgFCkYBjxz1h8rGh1xhyLeKF2Xy8wDguYzCHWsYuni"


def doctors(home: Path, *arguments: str) -> tuple[int, list[dict[str, Any]]]:
    """Exit status and findings of a real run."""
    done = arnode("doctor", "--json", *arguments, home=home, check=False)
    assert done.stderr == ""
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


def of(findings: list[dict[str, Any]], check: str) -> list[dict[str, Any]]:
    return [finding for finding in findings if finding["check"] == check]


def test_a_running_node_is_well_and_what_is_wrong_about_addresses_is_named(tmp_path: Path) -> None:
    with running_node(tmp_path / "home", "--no-research") as process:
        address = process.listening()
        status, findings = doctors(tmp_path / "home", "--bootstrap", address)
        assert status == 0
        assert {one["check"]: one["status"] for one in findings} == {
            "software": "ok",
            "limits": "ok",
            "folder": "ok",
            "settings": "ok",
            "identity": "ok",
            "disk": "ok",
            "log": "ok",
            "swarm": "ok",
            "model": "ok",
            "sandbox": "ok" if shutil.which("bwrap") else "warning",
            "node": "warning",  # without a peer
            "bootstrap": "ok",
            "clock": "ok",
            "dialable": "ok",
        }
        assert of(findings, "identity")[0]["data"]["peer"] == address.rsplit("/", 1)[1]

        moved = address.rsplit("/", 1)[0] + "/" + ADDRESS.rsplit("/", 1)[1]
        status, findings = doctors(
            tmp_path / "other", "--swarm", "else", "--bootstrap", address, "--bootstrap", moved, "--bootstrap", "x"
        )
        assert status == 1
        tried = {one["data"]["address"]: one for one in of(findings, "bootstrap")}
        assert {name: one["data"]["outcome"] for name, one in tried.items()} == {
            address: "other_swarm",
            moved: "wrong_peer",
            "x": "bad_address",
        }
        assert tried[address]["command"] == f"arnode join --swarm main --bootstrap {address}"
        assert tried[moved]["command"] == f"arnode doctor --bootstrap {address}"
        assert not (tmp_path / "other").exists()
        assert process.process.poll() is None


def test_before_the_first_start_nothing_is_wrong(tmp_path: Path) -> None:
    findings = list(examine(Case(locate_home(tmp_path / "home"))))
    assert not any(finding.status == "failed" for finding in findings)
    assert "not there yet" in next(finding.text for finding in findings if finding.check == "folder")
    assert list(tmp_path.iterdir()) == []


def small_home(tmp_path: Path) -> Home:
    """A state folder with an identity and a log of some records."""
    home = locate_home(tmp_path / "home")
    home.folder.mkdir(mode=0o700)
    doctor.checkup.load_or_create(home.identity)
    author = new_identity()
    with Log(home.log) as log:
        log.append([record(author, text="x" * 2000) for _ in range(30)])
    return home


def damage_the_middle(home: Home) -> None:
    data = bytearray(home.log.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 9000] = bytes(9000)
    home.log.write_bytes(data)


def change_a_record(home: Home) -> None:
    data = home.log.read_bytes()
    home.log.write_bytes(data.replace(b"x" * 500, b"y" * 500, 1))


def from_the_future(home: Home) -> None:
    connection = sqlite3.connect(home.log)
    connection.execute("PRAGMA user_version = 99")
    connection.close()


def spoil_membership(home: Home) -> None:
    home.membership.write_text("{}")
    home.membership.chmod(0o600)


@pytest.mark.parametrize(
    ("spoil", "check", "status", "words"),
    [
        (lambda home: home.log.write_bytes(b"no database" * 1000), "log", "failed", "is damaged"),
        (damage_the_middle, "log", "failed", "log.sqlite"),
        (change_a_record, "log", "failed", "not what its author signed"),
        (from_the_future, "log", "failed", "newer arnode"),
        (lambda home: (home.log.unlink(), home.log.mkdir()), "log", "failed", "cannot be opened"),
        (lambda home: home.identity.chmod(0o644), "identity", "failed", "can be read by others (mode 0644)"),
        (lambda home: home.identity.write_text("nonsense"), "identity", "failed", "no readable private key"),
        (lambda home: home.folder.chmod(0o755), "folder", "warning", "others can look into"),
        (lambda home: home.running.write_text("[1,"), "folder", "ok", "home"),
        (lambda home: home.log.unlink(), "log", "ok", "no records yet"),
        (lambda home: home.membership.write_text("{}"), "swarm", "failed", "can be read by others"),
        (spoil_membership, "swarm", "failed", "damaged"),
        (lambda home: home.book("main").write_text("{"), "peers", "warning", "corrupt"),
        (lambda home: home.config.write_text("minuts = 1"), "settings", "failed", "config.toml:1: there is no setting"),
    ],
)
def test_a_broken_home_is_named_and_left_as_it_is(
    spoil: Callable[[Home], object], check: str, status: str, words: str, tmp_path: Path
) -> None:
    home = small_home(tmp_path)
    spoil(home)
    before = _everything(home.folder)
    findings = list(examine(Case(home)))
    assert _everything(home.folder) == before
    (found,) = [finding for finding in findings if finding.check == check]
    assert (found.status, words in found.text) == (status, True), found
    assert status == "ok" or found.advice
    assert not any("this check itself failed" in finding.text for finding in findings)


def _everything(folder: Path) -> dict[str, tuple[int, bytes]]:
    files = [path for path in folder.rglob("*") if not path.name.endswith(("-shm", "-wal"))]  # SQLite's own
    return {str(path): (path.stat().st_mode, path.read_bytes() if path.is_file() else b"") for path in [folder, *files]}


@pytest.mark.parametrize("mode", [0o000, 0o500])
def test_a_folder_without_rights_is_told_with_the_command_that_mends_it(mode: int, tmp_path: Path) -> None:
    # root may do all, unless it gives these two rights up
    drop = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all"]
    if os.getuid() == 0 and (not shutil.which("setpriv") or subprocess.run([*drop, "true"], check=False).returncode):
        pytest.skip("as root this needs setpriv")
    home = small_home(tmp_path)
    home.folder.chmod(mode)
    try:
        done = subprocess.run(
            [
                *(drop if os.getuid() == 0 else ()),
                sys.executable,
                "-m",
                "node.cli",
                "--home",
                home.folder,
                "doctor",
                "--json",
            ],
            capture_output=True,
            text=True,
            cwd=ROOT,
            check=False,
        )
    finally:
        home.folder.chmod(0o700)
    assert (done.returncode, done.stderr) == (1, "")
    findings = [json.loads(line) for line in done.stdout.splitlines()]
    assert (of(findings, "folder")[0]["status"], of(findings, "folder")[0]["command"]) == (
        "failed",
        f"chmod 700 {home.folder}",
    )
    assert "check itself" not in done.stdout


def test_a_home_that_is_a_file_ends_in_findings(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("I am a file")
    findings = list(examine(Case(locate_home(tmp_path / "home"))))
    (found,) = [finding for finding in findings if finding.check == "folder"]
    assert (found.status, "is not a folder" in found.text) == ("failed", True)
    assert not any("this check itself failed" in finding.text for finding in findings)


def test_what_is_remembered_is_examined_unless_something_else_is_named(tmp_path: Path) -> None:
    home, key, other = Home(tmp_path), new_swarm_key(), new_swarm_key()
    assert case_of(home, None, (), None) == Case(home)
    remember_membership(home, Membership("ours", (ADDRESS,), key))
    assert case_of(home, None, (), None) == Case(home, "ours", (ADDRESS,), key=key)
    assert case_of(home, "ours", ("x",), key) == Case(home, "ours", ("x",), key=key)
    assert case_of(home, "theirs", (), None) == Case(home, "theirs")
    assert case_of(home, None, (), other) == Case(home, "ours", key=other)
    *_, peer = ADDRESS.split("/")
    book = AddressBook(home.book("ours"))
    book.met(peer, "/ip4/192.0.2.7/tcp/4477", now_ms())
    book.save()
    assert case_of(home, None, (), None).remembered == (ADDRESS,)
    assert case_of(home, None, ("x",), None).remembered == ()


def test_one_remembered_peer_that_is_gone_is_a_warning_and_all_of_them_a_failure(tmp_path: Path) -> None:
    with socket.socket() as closed, running_node(tmp_path / "home", "--no-research") as process:
        closed.bind(("127.0.0.1", 0))
        gone = ADDRESS.replace("192.0.2.7/tcp/4477", f"127.0.0.1/tcp/{closed.getsockname()[1]}")
        found = list(network(Case(Home(tmp_path), remembered=(gone, process.listening()))))
        assert [(one.check, one.status) for one in found if one.check.startswith("peer")] == [
            ("peer", "warning"),
            ("peer", "ok"),
        ]
        found = list(network(Case(Home(tmp_path), remembered=(gone,))))
        assert ("peers", "failed") in [(one.check, one.status) for one in found]


def test_without_a_node_its_port_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", 0))
        taken.listen()
        monkeypatch.setattr(reachability, "PORT", taken.getsockname()[1])
        (found,) = reachability.running(Case(Home(tmp_path)))
        assert (found.check, found.status) == ("port", "warning")
        assert found.command == f"ss -ltnp 'sport = :{taken.getsockname()[1]}'"
    (found,) = reachability.running(Case(Home(tmp_path)))
    assert (found.check, found.status) == ("port", "ok")


def test_a_running_node_is_asked_for_its_peers_and_one_that_hangs_is_told(tmp_path: Path) -> None:
    def case(url: str | None) -> Case:
        return Case(Home(tmp_path), running=Running(7, 1.0, "main", (ADDRESS,), url))

    (found,) = reachability.running(case(None))
    assert (found.status, found.text) == ("ok", "runs as process 7 in swarm main")
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        (found,) = reachability.running(case(f"http://127.0.0.1:{closed.getsockname()[1]}"))
    assert (found.status, found.command) == ("warning", "kill 7")
    assert "does not answer" in found.text
    pages = {"/metrics": b'arnode_peers{direction="inbound"} 2\narnode_peers{direction="outbound"} 1\n'}
    with serving(pages) as url:
        (found,) = reachability.running(case(url))
    assert (found.status, found.data["peers"]) == ("ok", 3)


@contextmanager
def serving(pages: dict[str, bytes]) -> Iterator[str]:
    """A small web server; its address."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(pages[self.path])

        def log_message(self, *words: object) -> None:
            """Nothing."""

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_a_missing_package_is_one_line_that_says_what_to_do() -> None:
    program = "import sys; sys.modules['libp2p'] = None; from node.cli import app; app(['doctor'])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [line for line in done.stderr.splitlines() if "make setup" in line]


def test_a_check_that_fails_is_a_finding_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def broken(case: Case) -> list[Finding]:
        raise ZeroDivisionError("of all things")

    def whole(case: Case) -> list[Finding]:
        return [Finding("whole", "ok", "fine")]

    monkeypatch.setattr(doctor, "CHECKS", [broken, whole])
    first, second = examine(Case(Home(tmp_path)))
    assert (first.check, first.status) == ("broken", "failed")
    assert "ZeroDivisionError: of all things" in first.text
    assert second.text == "fine"


@pytest.mark.parametrize(
    ("free", "status"), [(10**12, "ok"), (2**30, "ok"), (2**30 - 1, "warning"), (2**26, "warning"), (0, "failed")]
)
def test_a_disk_that_fills_up_is_warned_of_and_then_failed(free: int, status: str) -> None:
    assert disk_finding(free, Path("/x")).status == status


@pytest.mark.parametrize(("files", "status"), [(1024, "ok"), (1023, "warning"), (255, "failed")])
def test_too_few_open_files(files: int, status: str) -> None:
    assert files_finding(files).status == status


@pytest.mark.parametrize(
    ("offsets", "status", "words"),
    [
        ([3.0, -200.0, 40.0], "ok", "within 0.1 s"),
        ([30_000.0, 29_000.0, 10**9], "warning", "30.0 s behind"),
        ([-3_600_000.0], "failed", "60 minutes ahead"),
    ],
)
def test_the_clock_is_judged_by_the_median_of_the_peers(offsets: list[float], status: str, words: str) -> None:
    (found,) = clock_finding(offsets)
    assert (found.status, words in found.text) == (status, True), found
    assert list(clock_finding([])) == []


def test_every_outcome_of_a_probe_has_its_words_and_advice() -> None:
    assert set(ANSWERS) == set(get_args(Outcome))
    for outcome in get_args(Outcome):
        found = bootstrap_finding(Probed(ADDRESS, outcome, "told", round_trip_ms=1.0))
        assert found.status == {"fine": "ok", "busy": "warning"}.get(outcome, "failed")
        assert found.advice or outcome in ("fine", "busy")
        assert "192.0.2.7:4477 …CHWsYuni" in found.text
        assert "{" not in found.text


def test_what_a_stranger_calls_his_swarm_is_no_part_of_a_command() -> None:
    found = bootstrap_finding(Probed(ADDRESS, "other_swarm", "x; rm -rf ~ \x1b[2J"))
    assert found.command == ""
    assert "\x1b" not in found.text


def test_a_node_behind_nat_is_warned_not_failed() -> None:
    failure = "no TCP connection (Connection refused)"
    assert dialable_finding(Dialable("/ip4/1.2.3.4/tcp/4477", failure), 4477, running=True).status == "warning"
    assert dialable_finding(Dialable("/ip4/1.2.3.4/tcp/4477"), 4477, running=False).status == "ok"
    other = Dialable("/ip4/1.2.3.4/tcp/4477", "TCP connects, but it is not this peer that answers (…)")
    assert dialable_finding(other, 4477, running=True).status == "ok"
    assert dialable_finding(other, 4477, running=False).status == "warning"


def test_eighty_columns_are_kept_and_commands_stay_whole() -> None:
    out = io.StringIO()
    console = Console(
        file=out,
        width=80,
        force_terminal=True,
        force_interactive=False,
        color_system=None,
        markup=False,
        highlight=False,
    )
    told = ADDRESS.rsplit("/", 1)[1]
    findings = [bootstrap_finding(Probed(ADDRESS, outcome, told, "agent/1", 1.0)) for outcome in get_args(Outcome)]
    assert show_findings(findings, json=False, console=console) is False
    lines = out.getvalue().splitlines()
    commands = {finding.command for finding in findings if finding.command}
    assert commands
    assert commands <= {line.strip() for line in lines}
    assert max(len(line) for line in lines if line.strip() not in commands) <= 80
    assert lines[-1] == f"{len(findings) - 2} failed, 1 to look at, 1 fine"
