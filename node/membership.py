"""Which swarm a state folder belongs to, so that a node that is started again finds back to it, and to no other.

A folder that once joined a private swarm holds its records. They must not reach anyone without the key because an
option was forgotten, so such a folder keeps the key and stays with it until a person says otherwise.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from gossip.host import AddressError, parse_peer_address
from gossip.private_file import PrivateFileError, read_private, write_private
from gossip.swarmkey import SwarmKey, SwarmKeyError
from node.home import Home
from node.names import NameRefused, clean_swarm

DEFAULT_SWARM: Final = "main"


class MembershipError(Exception):
    """The folder cannot join that swarm; the message says why and what to do."""


@dataclass(frozen=True)
class Membership:
    """swarm: its name; bootstrap: addresses of peers to join through; key: of a private swarm, else None."""

    swarm: str = DEFAULT_SWARM
    bootstrap: tuple[str, ...] = ()
    key: SwarmKey | None = None

    @property
    def words(self) -> str:
        """The swarm, as messages name it."""
        return f"swarm {self.swarm}" if self.key is None else f"private swarm {self.swarm} (key {self.key.fingerprint})"


def load_membership(home: Home) -> Membership:
    """The swarm that a node with this folder last joined; the public default swarm if none. Raises MembershipError."""
    if not home.membership.exists():
        return Membership()
    try:
        found = json.loads(read_private(home.membership))
        secret = found["key"]
        bootstrap = tuple(found["bootstrap"])
        for address in bootstrap:
            parse_peer_address(address)
        key = None if secret is None else SwarmKey(bytes.fromhex(secret))
        return Membership(clean_swarm(found["swarm"]), bootstrap, key)
    except PrivateFileError as error:
        raise MembershipError(str(error)) from error
    except (ValueError, TypeError, KeyError, AddressError, NameRefused, SwarmKeyError) as error:
        raise MembershipError(
            f"{home.membership} is damaged ({type(error).__name__}): it says which swarm this folder belongs to. "
            "If that is a private one, keep the folder from other swarms; move the file away, and join with an invite"
        ) from error


def remember_membership(home: Home, membership: Membership) -> None:
    """Keep it for the next start: mode 0600, whole or not at all. Raises MembershipError."""
    key = None if membership.key is None else membership.key.secret.hex()
    text = json.dumps({"swarm": membership.swarm, "bootstrap": list(membership.bootstrap), "key": key}, indent=1)
    try:
        write_private(home.membership, text.encode() + b"\n", replace=True)
    except PrivateFileError as error:
        raise MembershipError(str(error)) from error


@dataclass(frozen=True)
class Wish:
    """What a person said about the swarm to join.

    swarm, key: None where nothing was said. invited: name and key came together in an invite, so no key means a public
    swarm. move: the folder's records may go to a swarm that is not the one they are from.
    """

    swarm: str | None = None
    bootstrap: Sequence[str] = ()
    key: SwarmKey | None = None
    invited: bool = False
    move: bool = False


def settle(known: Membership, wish: Wish, folder: str = "this folder") -> Membership:
    """The swarm to join, of what is remembered and what was said.

    What was not said stays as it was. Peers are remembered for one swarm only. Raises MembershipError for a folder of a
    private swarm that would take its records elsewhere.
    """
    if wish.move and wish.swarm is None and wish.key is None:
        raise MembershipError("--move needs to know where to: --swarm NAME, --swarm-key FILE or --invite TEXT")
    swarm = wish.swarm or known.swarm
    key = wish.key if wish.key is not None or wish.invited or wish.move else known.key
    if known.key is not None and key != known.key and not wish.move:
        raise MembershipError(
            f"{folder} belongs to the {known.words}, and its records would leave that. Join with another folder "
            "(--home DIR), or take this one with all its records to the other swarm with --move"
        )
    stays = (swarm, key) == (known.swarm, known.key)
    bootstrap = tuple(wish.bootstrap) or (known.bootstrap if stays else ())
    return Membership(swarm, bootstrap, key)
