"""An identity under a passphrase: an encrypted PKCS #8 file that OpenSSL reads too.

scrypt with N = 2^14, r = 8, p = 5 (OWASP's Password Storage Cheat Sheet; the largest N that OpenSSL takes by default)
makes each guess at the passphrase cost 16 MB and a fifth of a second; AES-256 in CBC mode is the cipher. The
`cryptography` package would write PBKDF2 with 2,048 rounds, and has no setting for it. A line before the PEM block
names the public key: people tell backups apart by it, and CBC alone would let damage turn one key into another.
"""

import re
import unicodedata
from typing import Final

from Crypto.IO import PEM, PKCS8
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from gossip.identity import Identity, IdentityError

SCRYPT_N: Final = 2**14
SCRYPT_R: Final = 8
SCRYPT_P: Final = 5
PEM_LABEL: Final = "ENCRYPTED PRIVATE KEY"
ED25519_OID: Final = "1.3.101.112"
OCTET_STRING_OF_32: Final = b"\x04\x20"  # RFC 8410: the key is an octet string within the octet string
MIN_PASSPHRASE: Final = 8
NAME_LINE: Final = "arnode identity "


class WrongPassphrase(IdentityError):
    """The passphrase does not open the backup."""


class PassphraseMissing(IdentityError):
    """The backup is encrypted, and no passphrase was given."""


def seal(identity: Identity, passphrase: str) -> bytes:
    """The identity as an encrypted PEM file. Raises IdentityError for a passphrase that anyone would guess."""
    if len(passphrase) < MIN_PASSPHRASE:
        raise IdentityError(
            f"the passphrase is too short: choose at least {MIN_PASSPHRASE} characters, better six words"
        )
    sealed = PKCS8.wrap(
        OCTET_STRING_OF_32 + identity.private_bytes,
        ED25519_OID,
        passphrase=_bytes(passphrase),
        protection="scryptAndAES256-CBC",
        prot_params={"iteration_count": SCRYPT_N, "block_size": SCRYPT_R, "parallelization": SCRYPT_P},
        key_params=None,
    )
    return f"{NAME_LINE}{identity.author.hex()}\n{PEM.encode(sealed, PEM_LABEL)}\n".encode()


def is_sealed(pem: bytes) -> bool:
    """Whether a file needs a passphrase."""
    return PEM_LABEL.encode() in pem


def unseal(pem: bytes, passphrase: str | None = None) -> Identity:
    """The identity in a backup, or in a plain identity file.

    Raises IdentityError, of which WrongPassphrase and PassphraseMissing are kinds.
    """
    if not is_sealed(pem):
        passphrase = None
    elif passphrase is None:
        raise PassphraseMissing("the backup is encrypted: it needs its passphrase")
    try:
        key = load_pem_private_key(pem, None if passphrase is None else _bytes(passphrase))
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        if "password" in str(error).lower():
            raise WrongPassphrase("the passphrase is wrong, or the file is damaged") from error
        raise IdentityError("the file is no backup of an identity, or it is damaged") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise IdentityError("the file holds a key of another kind than Ed25519")
    identity = Identity(key)
    named = re.match(f"{NAME_LINE}([0-9a-f]{{64}})\\s".encode(), pem)
    if named and named[1] != identity.author.hex().encode():
        raise IdentityError("the backup is damaged: it holds another key than the one it names")
    return identity


def _bytes(passphrase: str) -> bytes:
    # the same letters typed on two systems may come composed or not
    return unicodedata.normalize("NFC", passphrase).encode()
