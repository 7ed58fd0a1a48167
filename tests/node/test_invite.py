"""`arnode invite`: which addresses it names, what a person sees, and that a camera can read it."""

from pathlib import Path

import numpy as np
import pytest
import zxingcpp

from gossip.host import peer_id_of
from gossip.invite import Invite, decode
from gossip.swarmkey import SwarmKey
from node.home import Home, open_home
from node.invite import InviteRefused, make_invite, reach, worth_telling
from node.membership import Membership, remember_membership
from node.running import announced
from tests.e2e.processes import arnode
from tests.node.terminal import terminal

ME = peer_id_of(bytes(range(32)))
FRIEND = f"/ip4/203.0.113.5/tcp/4477/p2p/{peer_id_of(bytes(32))}"
KEY = SwarmKey(b"\x5a" * 32)
OWN = [f"/ip4/{ip}/tcp/4477/p2p/{ME}" for ip in ("192.168.1.7", "8.8.4.4", "127.0.0.1", "10.0.0.7")]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = open_home(tmp_path / "home")
    remember_membership(made, Membership("lab", (FRIEND,), KEY))
    return made


def made(home: Home, addresses: list[str]) -> tuple[Invite, list[str]]:
    """An invite of a running node with those addresses."""
    with announced(home, swarm="lab", addresses=addresses, url=None, report=lambda what, why: None):
        return make_invite(home, 2, 1_000_000.0)


def test_an_invite_of_a_running_node_names_its_best_addresses_and_another_peer(home: Home) -> None:
    invite, notes = made(home, OWN)
    assert invite == Invite("lab", (OWN[1], OWN[0], FRIEND), KEY, 1_000_000 + 7200)
    assert notes == []


def test_an_invite_says_how_far_its_addresses_reach(home: Home) -> None:
    remember_membership(home, Membership("lab"))
    assert made(home, [OWN[0], OWN[2]])[0].bootstrap == (OWN[0],)
    assert "same local network" in made(home, [OWN[0], OWN[2]])[1][0]
    assert made(home, [OWN[2]])[0].bootstrap == (OWN[2],)
    assert "this machine" in made(home, [OWN[2]])[1][0]
    assert worth_telling([]) == []
    assert [reach(f"/dns4/{name}/tcp/1/p2p/{ME}") for name in ("example.org", "localhost")] == [2, 0]


def test_without_a_running_node_the_remembered_peers_are_named_or_none_can_be_made(home: Home) -> None:
    invite, notes = make_invite(home, 2, 1_000_000.0)
    assert invite.bootstrap == (FRIEND,)
    assert "No node runs here" in notes[0]
    remember_membership(home, Membership("lab", (), KEY))
    with pytest.raises(InviteRefused, match="arnode join"):
        make_invite(home, 2, 1_000_000.0)
    for hours in (0, -1, 1e9, float("nan")):
        with pytest.raises(InviteRefused, match="hours"):
            make_invite(home, hours, 1_000_000.0)


def test_in_a_pipe_the_text_is_alone(home: Home) -> None:
    done = arnode("invite", home=home.folder)
    assert decode(done.stdout, 0).key == KEY
    assert len(done.stdout.splitlines()) == 1
    assert "good for 24 hours" in done.stderr
    assert "Whoever has this text holds its key" in done.stderr
    assert KEY.secret.hex() not in done.stderr


def test_in_a_terminal_of_80_columns_a_camera_reads_the_code(home: Home) -> None:
    with terminal("invite", "--hours", "0.5", home=home.folder) as screen:
        assert screen.end() == 0
    code, rest = seen_code(screen.seen)
    assert max(map(len, code)) <= 80
    assert len(code) <= 24
    found = zxingcpp.read_barcodes(picture(code))
    assert [decode(one.text, 0).bootstrap for one in found] == [(FRIEND,)]
    assert decode(rest[0], 0) == decode(found[0].text, 0)
    assert "good for 30 minutes" in screen.seen


def test_where_the_code_does_not_fit_it_is_left_out(home: Home) -> None:
    with terminal("invite", home=home.folder, columns=30) as screen:
        assert screen.end() == 0
    assert seen_code(screen.seen)[0] == []
    assert "arnode1" in screen.seen


def seen_code(seen: str) -> tuple[list[str], list[str]]:
    """The lines of the QR code, and the others."""
    lines = seen.splitlines()
    code = [line for line in lines if set(line.strip()) & set("█▀▄") and not set(line) - set("█▀▄ ")]
    return code, [line for line in lines if line not in code]


def picture(code: list[str]) -> np.ndarray:
    """The half blocks as grey pixels, light modules white, 8 pixels a module."""
    rows = []
    for line in code:
        rows.append([mark in "█▀" for mark in line])
        rows.append([mark in "█▄" for mark in line])
    return np.kron(np.array(rows, dtype=np.uint8) * 255, np.ones((8, 8), dtype=np.uint8))
