"""What a person says about the swarm to join: options, a key file, an invite."""

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from gossip.invite import ExpiredInvite, Invite, InviteError, decode
from gossip.swarmkey import read_swarm_key
from node.home import Home
from node.membership import Wish, load_membership
from node.names import clean_swarm

MAX_PASTED: Final = 1 << 20
MAX_PASTED_LINES: Final = 100


class WishUnclear(Exception):
    """Options that contradict each other."""


def wish_of(
    home: Home,
    *,
    swarm: str | None,
    bootstrap: Sequence[str],
    key_file: Path | None,
    invite: str | None,
    move: bool,
) -> Wish:
    """Read what the options name. invite: the text, or `-` for standard input, which leaves no trace in histories.

    Raises WishUnclear, NameRefused, SwarmKeyError, InviteError.
    """
    if invite is None:
        name = None if swarm is None else clean_swarm(swarm)
        key = None if key_file is None else read_swarm_key(key_file)
        return Wish(name, tuple(bootstrap), key, move=move)
    if swarm is not None or key_file is not None:
        raise WishUnclear("an invite says which swarm and which key: leave the settings swarm and swarm_key out")
    found = _invite(home, _pasted() if invite == "-" else invite)
    return Wish(clean_swarm(found.swarm), (*bootstrap, *found.bootstrap), found.key, invited=True, move=move)


def _invite(home: Home, text: str) -> Invite:
    """An expired invite still does for who has used it: a script that starts the node again passes it each time."""
    try:
        return decode(text, time.time())
    except ExpiredInvite:
        invite = decode(text, 0)
        known = load_membership(home)
        if home.membership.exists() and (known.swarm, known.key) == (invite.swarm, invite.key):
            return invite
        raise


def _pasted() -> str:
    if not sys.stdin.isatty():
        return sys.stdin.read(MAX_PASTED)
    print("Paste the invite and press Enter:", file=sys.stderr)
    lines: list[str] = []
    for line in sys.stdin:  # a terminal hands on line by line, and a pasted text may have been broken into several
        lines.append(line)
        if not line.strip() or len(lines) >= MAX_PASTED_LINES or _complete("".join(lines)):
            break
    return "".join(lines)


def _complete(text: str) -> bool:
    try:
        decode(text, 0)
    except InviteError:
        return False
    return True
