"""An invite: all that a new node needs to join a swarm, in one string that survives being pasted.

`arnode1`, then base32 of a msgpack array and of four bytes that notice damage. One word, so that a double click selects
it; without upper and lower case, so that its QR code is small. Whoever has the text of a private swarm's invite holds
the swarm's key. The expiry is honoured by the node that joins, so it limits mistakes, not attackers.
"""

import base64
import binascii
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgpack
from libp2p.peer.id import ID
from multiaddr import Multiaddr
from multiaddr.exceptions import Error as MultiaddrError

from gossip.host import AddressError, parse_peer_address, peer_id_of
from gossip.identity import ED25519_PREFIX
from gossip.swarmkey import KEY_BYTES, SwarmKey

PREFIX: Final = "arnode1"
VERSION: Final = 1
DOMAIN: Final = b"arnode/invite\0"
CHECKSUM_BYTES: Final = 4
MAX_TEXT: Final = 4096
MAX_ADDRESSES: Final = 16
MAX_ADDRESS_BYTES: Final = 256
MAX_NAME: Final = 64


class InviteError(Exception):
    """The text is no invite that can be used; the message says why and what to do."""


class NotAnInvite(InviteError):
    """The text is something else."""


class DamagedInvite(InviteError):
    """The text was an invite, and has lost or changed something on its way."""


class NewerInvite(InviteError):
    """The invite was made by a version of arnode that this one does not understand."""


class ExpiredInvite(InviteError):
    """The invite's time is over."""


@dataclass(frozen=True)
class Invite:
    """swarm: its name; bootstrap: peers' addresses with their ids; key: of a private swarm; expires: s since 1970."""

    swarm: str
    bootstrap: tuple[str, ...]
    key: SwarmKey | None
    expires: int


def encode(invite: Invite) -> str:
    """The invite as text. Raises InviteError for what cannot be in one."""
    key = None if invite.key is None else invite.key.secret
    payload = _pack([VERSION, invite.swarm, invite.expires, key, _peers(invite.bootstrap)])
    text = PREFIX + base64.b32encode(payload + _checksum(payload)).decode().rstrip("=").lower()
    _read(text)
    return text


def decode(text: str, now: float) -> Invite:
    """Read an invite; white space and line breaks in it do not matter, nor does case. now: seconds since 1970.

    Raises NotAnInvite, DamagedInvite, NewerInvite, ExpiredInvite.
    """
    invite = _read("".join(text.split()).lower())
    if invite.expires <= now:
        raise ExpiredInvite(f"the invite expired {_ago(now - invite.expires)}: ask for a new one (`arnode invite`)")
    return invite


def _read(text: str) -> Invite:
    if not text.startswith(PREFIX):
        raise NotAnInvite(f"this is not an invite: the text that `arnode invite` prints begins with {PREFIX}")
    if len(text) > MAX_TEXT:
        raise NotAnInvite(f"this is not an invite: it has more than {MAX_TEXT} characters")
    data = _from_base32(text.removeprefix(PREFIX))
    payload, checksum = data[:-CHECKSUM_BYTES], data[-CHECKSUM_BYTES:]
    if checksum != _checksum(payload):
        raise DamagedInvite("the invite is damaged or not complete: copy the whole text again")
    try:
        fields = msgpack.unpackb(payload, raw=False)
        again = _pack(fields)
    except (ValueError, TypeError, OverflowError, RecursionError, msgpack.UnpackException) as error:
        raise NotAnInvite("this is not an invite that arnode made: it holds something else") from error
    match fields:
        case [int(version), *_] if version > VERSION and type(version) is int:
            raise NewerInvite(
                f"the invite has version {version}, this arnode knows version {VERSION}: install a newer arnode"
            )
        case [1, str(swarm), int(expires), None | bytes() as key, list(peers)] if (
            again == payload
            and 0 < len(swarm) <= MAX_NAME
            and type(expires) is int
            and 0 < expires < 2**40
            and (key is None or len(key) == KEY_BYTES)
        ):
            return Invite(swarm, tuple(_addresses(peers)), None if key is None else SwarmKey(key), expires)
    raise NotAnInvite("this is not an invite that arnode made: its fields are wrong")


def _from_base32(digits: str) -> bytes:
    try:
        data = base64.b32decode(digits.upper().encode("ascii") + b"=" * (-len(digits) % 8))
    except (binascii.Error, UnicodeEncodeError) as error:
        raise DamagedInvite("the invite is damaged: it holds a character that none has; copy the text again") from error
    if base64.b32encode(data).decode().rstrip("=").lower() != digits:
        raise DamagedInvite("the invite is damaged or not complete: copy the whole text again")
    return data


def _checksum(payload: bytes) -> bytes:
    return hashlib.sha256(DOMAIN + payload).digest()[:CHECKSUM_BYTES]


def _pack(value: Any) -> bytes:
    packed: bytes = msgpack.packb(value, use_bin_type=True)
    return packed


def _peers(addresses: Sequence[str]) -> list[list[Any]]:
    """For each peer its public key and its addresses, in order; a key is written once."""
    found: dict[bytes, list[bytes]] = {}
    for text in addresses:
        try:
            peer, address = parse_peer_address(text)
        except AddressError as error:
            raise InviteError(str(error)) from error
        found.setdefault(_public_key(peer), []).append(address.to_bytes())
    return [[key, addresses] for key, addresses in found.items()]


def _public_key(peer: ID) -> bytes:
    raw = peer.to_bytes()
    if not raw.startswith(ED25519_PREFIX) or len(raw) != len(ED25519_PREFIX) + 32:
        raise InviteError(f"{peer} is not the id of an arnode node, whose keys are Ed25519")
    return raw.removeprefix(ED25519_PREFIX)


def _addresses(peers: list[Any]) -> Iterable[str]:
    count = 0
    for entry in peers:
        match entry:
            case [bytes(key), [_, *_] as addresses] if len(key) == 32:
                for address in addresses:
                    count += 1
                    if count > MAX_ADDRESSES:
                        raise NotAnInvite(
                            f"this is not an invite that arnode made: more than {MAX_ADDRESSES} addresses"
                        )
                    yield _address(key, address)
            case _:
                raise NotAnInvite("this is not an invite that arnode made: its peers are wrong")


def _address(key: bytes, address: Any) -> str:
    if not isinstance(address, bytes) or not 0 < len(address) <= MAX_ADDRESS_BYTES:
        raise NotAnInvite("this is not an invite that arnode made: an address is wrong")
    try:
        text = f"{Multiaddr(address)}/p2p/{peer_id_of(key)}"
        peer, again = parse_peer_address(text)
        good = again.to_bytes() == address and _public_key(peer) == key
    except (AddressError, MultiaddrError, ValueError, LookupError, TypeError) as error:
        raise NotAnInvite("this is not an invite that arnode made: an address is wrong") from error
    if not good:
        raise NotAnInvite("this is not an invite that arnode made: an address is wrong")
    return text


def _ago(seconds: float) -> str:
    hours = seconds / 3600
    return f"{hours / 24:.0f} days ago" if hours > 48 else f"{hours:.0f} hours ago" if hours > 2 else "just now"
