"""The key file of a private swarm: libp2p's form, private, never overwritten, refused with a reason."""

import stat
from pathlib import Path

import pytest

from gossip.swarmkey import HEADER, SwarmKey, SwarmKeyError, new_swarm_key, read_swarm_key, write_swarm_key

GOOD = f"{HEADER}\n/base16/\n{'ab' * 32}\n"


def test_a_key_is_written_in_libp2ps_form_and_read_back(tmp_path: Path) -> None:
    path, key = tmp_path / "deep" / "swarm.key", new_swarm_key()
    write_swarm_key(path, key)
    assert path.read_text() == f"/key/swarm/psk/1.0.0/\n/base16/\n{key.secret.hex()}\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read_swarm_key(path) == key
    assert [entry.name for entry in path.parent.iterdir()] == ["swarm.key"]


def test_a_key_file_is_never_overwritten_by_accident(tmp_path: Path) -> None:
    path, key = tmp_path / "swarm.key", new_swarm_key()
    write_swarm_key(path, key)
    with pytest.raises(SwarmKeyError, match="exists already"):
        write_swarm_key(path, new_swarm_key())
    assert read_swarm_key(path) == key


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "first line"),
        (b"hello\n", "first line"),
        (b"\xff\xfe\x00", "not text"),
        (GOOD.replace("base16", "base64").encode(), "another encoding"),
        (HEADER.encode(), "another encoding"),
        (GOOD[:-2].encode(), "damaged"),
        (GOOD.replace("b", "g").encode(), "another encoding"),
        (GOOD.replace("ab", "xy").encode(), "damaged"),
        ((GOOD + "more\n").encode(), "damaged"),
        (b"a" * 100_000, "larger"),
    ],
)
def test_a_file_that_is_no_key_is_refused_with_a_reason_that_does_not_show_it(
    content: bytes, reason: str, tmp_path: Path
) -> None:
    path = tmp_path / "swarm.key"
    path.touch(mode=0o600)
    path.write_bytes(content)
    with pytest.raises(SwarmKeyError, match=reason) as caught:
        read_swarm_key(path)
    assert "abab" not in str(caught.value)


def test_a_missing_key_a_folder_and_a_key_that_others_read_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SwarmKeyError, match="No such file"):
        read_swarm_key(tmp_path / "none")
    with pytest.raises(SwarmKeyError, match="cannot read"):
        read_swarm_key(tmp_path)
    write_swarm_key(tmp_path / "swarm.key", new_swarm_key())
    (tmp_path / "swarm.key").chmod(0o604)
    with pytest.raises(SwarmKeyError, match="chmod 600"):
        read_swarm_key(tmp_path / "swarm.key")


def test_tags_differ_by_purpose_and_key_and_nothing_shows_the_key() -> None:
    one, other = SwarmKey(bytes(32)), SwarmKey(bytes([1]) * 32)
    tags = {one.tag("mdns"), one.tag("fingerprint"), other.tag("mdns"), other.tag("fingerprint")}
    assert len(tags) == 4
    assert one.tag("mdns") == SwarmKey(bytes(32)).tag("mdns")
    assert other.secret.hex() not in repr(other) + str(other) + other.fingerprint
    assert "01" * 4 not in repr(other)
    with pytest.raises(SwarmKeyError, match="32 bytes"):
        SwarmKey(bytes(31))
