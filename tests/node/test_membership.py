"""Which swarm a folder belongs to: it finds back by itself, and a private one's records leave it only when told to."""

import json
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossip.host import peer_id_of
from gossip.invite import ExpiredInvite, Invite, encode
from gossip.swarmkey import SwarmKey, new_swarm_key, write_swarm_key
from node.home import open_home
from node.membership import Membership, MembershipError, Wish, load_membership, remember_membership, settle
from node.names import NameRefused
from node.wish import WishUnclear, wish_of
from tests.e2e.processes import arnode
from tests.node.terminal import terminal

PEER = f"/ip4/10.0.0.1/tcp/4477/p2p/{peer_id_of(bytes(range(32)))}"
OTHER = f"/ip4/10.0.0.2/tcp/4477/p2p/{peer_id_of(bytes(32))}"
KEYS = [SwarmKey(bytes([number]) * 32) for number in range(3)]

names = st.sampled_from(["main", "lab", "club"])
addresses = st.lists(st.sampled_from([PEER, OTHER]), unique=True).map(tuple)
memberships = st.builds(Membership, names, addresses, st.none() | st.sampled_from(KEYS))
wishes = st.builds(
    Wish, st.none() | names, addresses, st.none() | st.sampled_from(KEYS), invited=st.booleans(), move=st.booleans()
)


def test_a_folder_that_never_joined_is_of_the_public_default_swarm(tmp_path: Path) -> None:
    assert load_membership(open_home(tmp_path)) == Membership("main", (), None)


@pytest.mark.parametrize("key", [None, KEYS[1]])
def test_what_is_remembered_comes_back_and_nobody_else_can_read_it(key: SwarmKey | None, tmp_path: Path) -> None:
    home, membership = open_home(tmp_path), Membership("lab", (PEER, OTHER), key)
    remember_membership(home, Membership("before"))
    remember_membership(home, membership)
    assert load_membership(home) == membership
    assert stat.S_IMODE(home.membership.stat().st_mode) == 0o600
    home.membership.chmod(0o644)
    with pytest.raises(MembershipError, match="chmod 600"):
        load_membership(home)


@pytest.mark.parametrize(
    "content",
    ["", "{}", "[]", "null", '{"swarm": "lab", "bootstrap": [], "key": "00"}']
    + [json.dumps({"swarm": swarm, "bootstrap": [there], "key": None}) for swarm, there in (("A b", PEER), ("a", "x"))],
)
def test_a_damaged_file_is_refused_and_never_taken_for_a_public_swarm(content: str, tmp_path: Path) -> None:
    home = open_home(tmp_path)
    remember_membership(home, Membership())
    home.membership.write_text(content)
    with pytest.raises(MembershipError, match="damaged"):
        load_membership(home)


@given(known=memberships)
def test_without_a_word_everything_stays(known: Membership) -> None:
    assert settle(known, Wish()) == known


@given(known=memberships, wish=wishes)
def test_a_private_swarm_is_left_only_when_told_to_and_wishes_are_followed(known: Membership, wish: Wish) -> None:
    try:
        chosen = settle(known, wish)
    except MembershipError:
        assert wish.move or known.key is not None
        return
    if known.key is not None and not wish.move:
        assert chosen.key == known.key
    assert wish.swarm in (None, chosen.swarm)
    assert wish.key in (None, chosen.key)
    assert not wish.bootstrap or chosen.bootstrap == wish.bootstrap
    if (chosen.swarm, chosen.key) != (known.swarm, known.key):
        assert chosen.bootstrap == tuple(wish.bootstrap)  # another swarm's peers are of no use there


def test_a_private_folder_says_why_it_stays_and_how_to_move_it() -> None:
    known = Membership("lab", (PEER,), KEYS[0])
    for wish in (Wish("lab", key=KEYS[1]), Wish("main", (OTHER,), invited=True)):
        with pytest.raises(MembershipError, match=r"/x belongs to the private swarm lab .*--home.*--move"):
            settle(known, wish, "/x")
    assert settle(known, Wish("lab", key=KEYS[1], move=True)) == Membership("lab", (), KEYS[1])
    assert settle(known, Wish("main", move=True)) == Membership("main", (), None)
    with pytest.raises(MembershipError, match="where to"):
        settle(known, Wish(move=True))
    assert settle(Membership("main", (PEER,)), Wish(key=KEYS[0])) == Membership("main", (), KEYS[0])


def said(home: Path, **options: object) -> Wish:
    """What these options mean, the others left out."""
    nothing = {"swarm": None, "bootstrap": (), "key_file": None, "invite": None, "move": False}
    return wish_of(open_home(home), **nothing | options)  # type: ignore[arg-type]


def test_options_and_invites_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = new_swarm_key()
    write_swarm_key(tmp_path / "key", key)
    assert said(tmp_path, swarm="lab", bootstrap=[PEER], key_file=tmp_path / "key") == Wish("lab", (PEER,), key)
    text = encode(Invite("lab", (PEER,), key, 2**39))
    wanted = Wish("lab", (OTHER, PEER), key, invited=True)
    assert said(tmp_path, invite=text, bootstrap=[OTHER]) == wanted
    (tmp_path / "pasted").write_text(f"\n {text[:50]}\n{text[50:]}\n")
    with (tmp_path / "pasted").open() as pasted:
        monkeypatch.setattr("sys.stdin", pasted)
        assert said(tmp_path, invite="-", bootstrap=[OTHER]) == wanted
    with pytest.raises(WishUnclear, match="leave the settings swarm"):
        said(tmp_path, invite=text, swarm="lab")
    with pytest.raises(NameRefused):
        said(tmp_path, invite=encode(Invite("\x1b[2J", (PEER,), key, 2**39)))


def test_an_expired_invite_still_starts_the_node_that_used_it_and_no_other(tmp_path: Path) -> None:
    invite = Invite("lab", (PEER,), KEYS[0], 1_000_000_000)
    with pytest.raises(ExpiredInvite):
        said(tmp_path, invite=encode(invite))
    remember_membership(open_home(tmp_path), Membership("lab", (), KEYS[0]))
    assert said(tmp_path, invite=encode(invite)).key == KEYS[0]
    with pytest.raises(ExpiredInvite):
        said(tmp_path, invite=encode(Invite("lab", (PEER,), KEYS[1], 1_000_000_000)))


def test_an_invite_is_pasted_into_a_terminal_or_taken_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = encode(Invite("lab", (PEER,), KEYS[0], 1_000_000_000))  # expired: read to its end, and no node starts
    with terminal("join", "--invite", "-", home=tmp_path / "home") as screen:
        screen.until("Paste the invite")
        screen.type(text[:70])
        screen.type(text[70:])
        assert screen.end() == 1
        assert "the invite expired" in screen.seen
    monkeypatch.setenv("ARNODE_INVITE", text)
    done = arnode("join", home=tmp_path / "home", check=False)
    assert done.returncode == 1
    assert "the invite expired" in done.stderr
    assert text not in done.stderr
