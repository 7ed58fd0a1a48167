"""A private swarm of real nodes: made with a key, joined by an invite, found again, and not left by accident."""

from pathlib import Path

from agent.entries import NO_TASK, Profile, write
from gossip.clock import now_ms
from gossip.identity import load_or_create
from gossip.log import Log
from gossip.swarmkey import read_swarm_key
from node.home import open_home
from tests.e2e.processes import Event, arnode, running_node


def hello(event: Event) -> bool:
    """Whether the event is the profile of another node, which is a record that came from it."""
    return event["event"] == "profile" and event["own"] is False


def connected(event: Event) -> bool:
    return event["event"] == "peer" and event["state"] == "connected"


def say_hello(folder: Path) -> None:
    """Put a profile into a node's log, as if it had said it a moment ago."""
    home = open_home(folder)
    profile = Profile(alias="the-first", device_class="cpu", device="a test", software={})
    with Log(home.log) as log:
        log.append([write(load_or_create(home.identity), NO_TASK, now_ms(), profile)])


def test_an_invite_takes_a_node_into_a_private_swarm_and_it_finds_back_by_itself(tmp_path: Path) -> None:
    key, first, second = (tmp_path / name for name in ("swarm.key", "first", "second"))
    made = arnode("swarm-key", "new", key, home=first)
    fingerprint = read_swarm_key(key).fingerprint
    assert made.stdout == f"{key} (key {fingerprint})\n"
    say_hello(first)
    quiet = ("--no-research", "--no-http")
    with running_node(first, *quiet, "--swarm-key", key, "--swarm", "lab") as inviter:
        inviter.listening()
        invite = arnode("invite", home=first).stdout
        with running_node(second, *quiet, "--invite", invite) as joiner:
            assert joiner.wait_for(lambda event: event["event"] == "listening")["swarm"] == "lab"
            joiner.wait_for(hello)
        with running_node(second, *quiet) as joiner:  # nothing said: the same swarm, key and peers
            assert joiner.wait_for(lambda event: event["event"] == "listening")["private"] is True
            joiner.wait_for(connected)
        assert not any(key_text in str(inviter.seen) for key_text in (read_swarm_key(key).secret.hex(), invite.strip()))
    away = arnode("join", *quiet, "--swarm-key", another(tmp_path, first), home=second, check=False)
    assert away.returncode == 1
    assert f"belongs to the private swarm lab (key {fingerprint})" in away.stderr
    assert "--move" in away.stderr


def another(folder: Path, home: Path) -> Path:
    """The file of another key."""
    arnode("swarm-key", "new", folder / "another.key", home=home)
    return folder / "another.key"
