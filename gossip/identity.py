"""A node's identity: one Ed25519 key in one file of mode 0600.

The same key signs records and is the libp2p identity, so a record's author and a peer id name the same node.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from gossip.private_file import PrivateFileError, read_private, write_private

# An Ed25519 peer id is the key itself in an identity multihash (libp2p peer-ids specification).
ED25519_PREFIX: Final = bytes.fromhex("002408011220")


class IdentityError(Exception):
    """The identity file cannot be used; the message says why and what to do."""


@dataclass(frozen=True)
class Identity:
    """An Ed25519 key pair."""

    key: Ed25519PrivateKey

    @cached_property
    def author(self) -> bytes:
        """The raw public key, 32 bytes: how records name their author."""
        return self.key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)

    @property
    def private_bytes(self) -> bytes:
        """The raw private key, 32 bytes (RFC 8032's seed)."""
        return self.key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())

    def sign(self, message: bytes) -> bytes:
        """Sign `message`; returns 64 bytes."""
        return self.key.sign(message)


def new_identity() -> Identity:
    """A fresh random identity that is not on disk."""
    return Identity(Ed25519PrivateKey.generate())


def load_or_create(path: Path) -> Identity:
    """Read the identity at `path` (PKCS #8 PEM), or make one there.

    A new file appears whole or not at all, and of two processes that start at once one wins and both use
    its key. Raises IdentityError for a file that others may read, or that holds no Ed25519 key.
    """
    try:
        if not path.exists():
            write_private(path, plain_pem(new_identity()))
    except FileExistsError:
        pass  # another process was first
    except PrivateFileError as error:
        raise IdentityError(str(error)) from error
    return load(path)


def plain_pem(identity: Identity) -> bytes:
    """The identity file's content: PKCS #8 PEM, not encrypted."""
    return identity.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def load(path: Path) -> Identity:
    """Read the identity at `path` (PKCS #8 PEM). Raises IdentityError."""
    try:
        data = read_private(path)
    except PrivateFileError as error:
        raise IdentityError(str(error)) from error
    try:
        key = load_pem_private_key(data, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise IdentityError(
            f"{path} holds no readable private key ({error}): bring your backup back with `arnode identity import "
            "--force`, or move the file away to start with a new identity"
        ) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise IdentityError(f"{path} holds a key of another kind than Ed25519: move it away")
    return Identity(key)
