"""The identity file: made once, private, and refused with a reason when it cannot be used."""

import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from gossip.identity import IdentityError, load_or_create


def test_an_identity_is_made_once_and_stays(tmp_path: Path) -> None:
    first = load_or_create(tmp_path / "home" / "identity.pem")
    again = load_or_create(tmp_path / "home" / "identity.pem")
    assert first.author == again.author
    assert len(first.private_bytes) == 32
    assert stat.S_IMODE((tmp_path / "home" / "identity.pem").stat().st_mode) == 0o600
    assert [p.name for p in (tmp_path / "home").iterdir()] == ["identity.pem"]
    Ed25519PublicKey.from_public_bytes(again.author).verify(first.sign(b"hello"), b"hello")


def test_a_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    load_or_create(tmp_path / "identity.pem")
    (tmp_path / "identity.pem").chmod(0o640)
    with pytest.raises(IdentityError, match="chmod 600"):
        load_or_create(tmp_path / "identity.pem")


def test_garbage_and_other_keys_are_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "identity.pem"
    other = X25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    for content, reason in ((b"", "no readable"), (b"garbage", "no readable"), (other, "Ed25519")):
        path.touch(mode=0o600)
        path.write_bytes(content)
        with pytest.raises(IdentityError, match=reason):
            load_or_create(path)
        assert path.read_bytes() == content
