"""The key of a private swarm: 32 random bytes, in the `swarm.key` file that all libp2p implementations read.

Nodes that hold it encrypt every byte of their connections with it (gossip/pnet.py), before anything else is said.
"""

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from gossip.private_file import PrivateFileError, read_private, write_private

KEY_BYTES: Final = 32
HEADER: Final = "/key/swarm/psk/1.0.0/"
ENCODING: Final = "/base16/"
TAG_DOMAIN: Final = b"arnode/swarm-key/1\0"


class SwarmKeyError(Exception):
    """A swarm key cannot be read or written; the message says why and what to do."""


@dataclass(frozen=True)
class SwarmKey:
    """The secret of a private swarm, 32 bytes. It shows itself nowhere: not in `repr`, not in messages."""

    secret: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.secret) != KEY_BYTES:
            raise SwarmKeyError(f"a swarm key has {KEY_BYTES} bytes, this one has {len(self.secret)}")

    def tag(self, purpose: str) -> bytes:
        """32 bytes that only holders of the key can compute, other ones for each purpose (HMAC-SHA256).

        They say nothing about the key, and may be shown or sent in the clear.
        """
        return hmac.digest(self.secret, TAG_DOMAIN + purpose.encode(), hashlib.sha256)

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits by which people compare keys."""
        return self.tag("fingerprint")[:8].hex()


def new_swarm_key() -> SwarmKey:
    """A fresh random key that is not on disk."""
    return SwarmKey(secrets.token_bytes(KEY_BYTES))


def read_swarm_key(path: Path) -> SwarmKey:
    """Read a key file (HEADER, ENCODING, 64 hexadecimal digits; one a line). Raises SwarmKeyError."""
    try:
        text = read_private(path).decode("ascii")
    except PrivateFileError as error:
        raise SwarmKeyError(str(error)) from error
    except UnicodeDecodeError as error:
        raise SwarmKeyError(f"{path} is not a swarm key: it is not text") from error
    lines = text.split()
    if lines[:1] != [HEADER]:
        raise SwarmKeyError(f"{path} is not a swarm key: its first line is not {HEADER}")
    if lines[1:2] != [ENCODING]:
        raise SwarmKeyError(
            f"{path} is a swarm key in another encoding than {ENCODING}, the only one that is read here"
        )
    digits = lines[2] if len(lines) == 3 else ""
    if not re.fullmatch(f"[0-9a-fA-F]{{{2 * KEY_BYTES}}}", digits):
        raise SwarmKeyError(
            f"{path} is a damaged swarm key: its third and last line must be {2 * KEY_BYTES} hex digits"
        )
    return SwarmKey(bytes.fromhex(digits))


def write_swarm_key(path: Path, key: SwarmKey, *, replace: bool = False) -> None:
    """Write a key file of mode 0600; a file that is there stays unless it may be replaced. Raises SwarmKeyError."""
    text = f"{HEADER}\n{ENCODING}\n{key.secret.hex()}\n"
    try:
        write_private(path, text.encode(), replace=replace)
    except FileExistsError as error:
        raise SwarmKeyError(f"{path} exists already and is left as it is: choose another name") from error
    except PrivateFileError as error:
        raise SwarmKeyError(str(error)) from error
