"""`arnode identity`: shown, backed up under a passphrase, brought back; nothing is overwritten, nothing is echoed."""

import json
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from gossip.backup import WrongPassphrase
from gossip.identity import IdentityError, load, load_or_create
from gossip.private_file import PrivateFileError
from node.home import Home, HomeError, only_node, open_home
from node.identity import IdentityRefused, export_identity, import_identity, show_identity
from tests.node.terminal import terminal

SECRET = "correct horse battery"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = open_home(tmp_path / "home")
    load_or_create(made.identity)
    return made


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    return private(tmp_path / "secret", f"{SECRET}\nonly the first line counts\n")


@pytest.fixture
def backup(home: Home, secret: Path, tmp_path: Path) -> Path:
    export_identity(home, tmp_path / "backup.pem", secret)
    return tmp_path / "backup.pem"


def private(path: Path, text: str) -> Path:
    """A file that only its owner reads."""
    path.touch(mode=0o600)
    path.write_text(text)
    return path


def test_what_is_shown_is_public(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    show_identity(home, as_json=True)
    shown = capsys.readouterr().out
    identity = load(home.identity)
    assert json.loads(shown)["author"] == identity.author.hex()
    assert json.loads(shown)["mode"] == "0600"
    assert identity.private_bytes.hex() not in shown
    show_identity(home, as_json=False)
    assert "0600, for you alone" in capsys.readouterr().out


def test_showing_and_exporting_make_no_identity(tmp_path: Path, secret: Path) -> None:
    empty = open_home(tmp_path / "empty")
    with pytest.raises(IdentityRefused, match="arnode join"):
        show_identity(empty, as_json=False)
    with pytest.raises(IdentityRefused, match="arnode join"):
        export_identity(empty, tmp_path / "backup", secret)
    assert list(empty.folder.iterdir()) == []


def test_a_backup_brings_the_identity_to_another_folder(home: Home, backup: Path, secret: Path, tmp_path: Path) -> None:
    assert stat.S_IMODE(backup.stat().st_mode) == 0o600
    assert load(home.identity).author.hex() in backup.read_text()
    other = open_home(tmp_path / "other")
    import_identity(other, backup, secret, force=False)
    assert load(other.identity).private_bytes == load(home.identity).private_bytes
    assert stat.S_IMODE(other.identity.stat().st_mode) == 0o600


@pytest.mark.skipif(shutil.which("openssl") is None, reason="the openssl command is not installed")
def test_openssl_opens_a_backup_with_the_passphrase_only(backup: Path, secret: Path) -> None:
    command = ["openssl", "pkey", "-in", str(backup), "-noout", "-text", "-passin"]
    right = subprocess.run([*command, f"file:{secret}"], capture_output=True, text=True, check=True)
    assert "ED25519 Private-Key" in right.stdout
    wrong = subprocess.run([*command, "pass:something else"], capture_output=True, text=True, check=False)
    assert wrong.returncode != 0


def test_a_backup_is_never_overwritten(home: Home, backup: Path, secret: Path) -> None:
    before = backup.read_bytes()
    with pytest.raises(IdentityRefused, match="exists already"):
        export_identity(home, backup, secret)
    assert backup.read_bytes() == before


def test_another_identity_stays_unless_it_is_forced_aside(
    home: Home, backup: Path, secret: Path, tmp_path: Path
) -> None:
    other = open_home(tmp_path / "other")
    old = load_or_create(other.identity)
    with pytest.raises(IdentityRefused, match=r"--home.*--force"):
        import_identity(other, backup, secret, force=False)
    assert load(other.identity).author == old.author
    import_identity(other, backup, secret, force=True)
    assert load(other.identity).author == load(home.identity).author
    (aside,) = other.folder.glob("identity-*.pem")
    assert load(aside).author == old.author


def test_the_same_identity_again_changes_nothing(
    home: Home, backup: Path, secret: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import_identity(home, backup, secret, force=True)
    assert "nothing has changed" in capsys.readouterr().out
    assert list(home.folder.glob("identity-*.pem")) == []


def test_a_damaged_identity_is_kept_aside_and_replaced(home: Home, backup: Path, secret: Path) -> None:
    author = load(home.identity).author
    home.identity.write_bytes(b"garbage")
    with pytest.raises(IdentityError, match="identity import --force"):
        load(home.identity)
    with pytest.raises(IdentityRefused, match="something unreadable"):
        import_identity(home, backup, secret, force=False)
    import_identity(home, backup, secret, force=True)
    assert load(home.identity).author == author
    assert [path.read_bytes() for path in home.folder.glob("identity-*.pem")] == [b"garbage"]


def test_nothing_is_imported_while_a_node_runs(home: Home, backup: Path, secret: Path) -> None:
    with only_node(home), pytest.raises(HomeError, match="already running"):
        import_identity(home, backup, secret, force=True)


def test_wrong_passphrases_and_damage_are_told_apart_from_success(
    home: Home, backup: Path, secret: Path, tmp_path: Path
) -> None:
    other = open_home(tmp_path / "other")
    with pytest.raises(WrongPassphrase, match="passphrase is wrong"):
        import_identity(other, backup, private(tmp_path / "wrong", "correct horse batterx"), force=False)
    with pytest.raises(IdentityRefused, match="first line is empty"):
        import_identity(other, backup, private(tmp_path / "empty", "\n"), force=False)
    pem = backup.read_bytes()
    lines = pem.splitlines(keepends=True)
    third = bytearray(lines[3])
    for place, content in enumerate((b"", b"no key at all", pem[: len(pem) // 2], pem.replace(lines[3], third[::-1]))):
        damaged = private(tmp_path / f"damaged-{place}", "")
        damaged.write_bytes(content)
        with pytest.raises(IdentityError):
            import_identity(other, damaged, secret, force=False)
    changed = lines[0].replace(lines[0][-6:-1], b"00000")
    (tmp_path / "damaged-0").write_bytes(changed + b"".join(lines[1:]))
    with pytest.raises(IdentityError, match="another key than the one it names"):
        import_identity(other, tmp_path / "damaged-0", secret, force=False)
    assert not other.identity.exists()


def test_short_passphrases_and_files_that_others_read_are_refused(
    home: Home, backup: Path, secret: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(IdentityError, match="too short"):
        export_identity(home, tmp_path / "b", private(tmp_path / "short", "1234567"))
    secret.chmod(0o644)
    with pytest.raises(PrivateFileError, match="chmod 600"):
        export_identity(home, tmp_path / "b", secret)
    assert not (tmp_path / "b").exists()
    secret.chmod(0o600)
    other = open_home(tmp_path / "other")
    plain = tmp_path / "plain.pem"
    plain.write_bytes(home.identity.read_bytes())
    plain.chmod(0o644)
    with pytest.raises(PrivateFileError, match="chmod 600"):
        import_identity(other, plain, None, force=False)
    backup.chmod(0o644)
    import_identity(other, backup, secret, force=False)  # the passphrase protects it, but the person should know
    assert "can be read by others" in capsys.readouterr().err


def test_a_person_types_the_passphrase_twice_and_never_sees_it(home: Home, tmp_path: Path) -> None:
    backup, other = tmp_path / "typed.pem", open_home(tmp_path / "other")
    with terminal("identity", "export", backup, home=home.folder) as screen:
        screen.until("Passphrase for the backup: ")
        screen.type(SECRET)
        screen.until("The same again: ")
        screen.type(SECRET)
        assert screen.end() == 0
        assert SECRET not in screen.seen
    with terminal("identity", "import", backup, home=other.folder) as screen:
        screen.until("Passphrase of the backup: ")
        screen.type(SECRET)
        assert screen.end() == 0
        assert "this node is 12D3Koo" in screen.seen
    assert load(other.identity).author == load(home.identity).author


def test_two_different_passphrases_write_nothing(home: Home, tmp_path: Path) -> None:
    with terminal("identity", "export", tmp_path / "typed.pem", home=home.folder) as screen:
        screen.until("Passphrase for the backup: ")
        screen.type(SECRET)
        screen.until("The same again: ")
        screen.type("correct horse batterx")
        assert screen.end() == 1
        assert "differ" in screen.seen
    assert not (tmp_path / "typed.pem").exists()
