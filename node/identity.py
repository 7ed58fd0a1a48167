"""`arnode identity`: show this node's key, back it up under a passphrase, and bring it to another machine."""

import getpass
import json
import os
import stat
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from agent.entries import Profile, read
from gossip.backup import is_sealed, seal, unseal
from gossip.host import peer_id_of
from gossip.identity import Identity, IdentityError, load, plain_pem
from gossip.log import Log
from gossip.private_file import read_private, write_private
from node.home import Home, only_node
from node.names import alias_of

MAX_FILE: Final = 64 * 1024


class IdentityRefused(Exception):
    """The identity cannot be shown, exported or imported like this; the message says why and what to do."""


def show_identity(home: Home, *, as_json: bool) -> None:
    """Print who this node is, and how its key is kept. Raises IdentityError, IdentityRefused."""
    identity = _own(home)
    mode = stat.S_IMODE(home.identity.stat().st_mode)
    found = {
        "peer": peer_id_of(identity.author),
        "author": identity.author.hex(),
        "alias": _alias(home, identity),
        "file": str(home.identity),
        "mode": f"{mode:04o}",
    }
    if as_json:
        print(json.dumps(found))
        return
    for name, value in (found | {"mode": f"{mode:04o}, for you alone"}).items():
        print(f"{name:7} {value}")


def export_identity(home: Home, file: Path, passphrase_file: Path | None) -> None:
    """Write the identity under a passphrase; nothing is overwritten. Raises IdentityError, IdentityRefused."""
    identity = _own(home)
    if file.exists():  # before a person types a passphrase twice
        raise IdentityRefused(f"{file} exists already and is left as it is: choose another name")
    sealed = seal(identity, _read_passphrase(passphrase_file) if passphrase_file else _new_passphrase())
    try:
        write_private(file, sealed)
    except FileExistsError as error:
        raise IdentityRefused(f"{file} exists already and is left as it is: choose another name") from error
    print(f"{file}: the identity of {peer_id_of(identity.author)}, under the passphrase; without that it is lost")


def import_identity(home: Home, file: Path, passphrase_file: Path | None, *, force: bool) -> None:
    """Make a backup the identity of this folder. A different one that is there stays, or is kept aside with `force`.

    Raises IdentityError, IdentityRefused, HomeError while a node runs.
    """
    pem = _backup(file)
    passphrase = None
    if is_sealed(pem):
        passphrase = _read_passphrase(passphrase_file) if passphrase_file else _ask("Passphrase of the backup: ")
    identity = unseal(pem, passphrase)
    with only_node(home):
        aside = None
        if home.identity.exists():
            present = _present(home)
            if present == peer_id_of(identity.author):
                print(f"{home.identity} is this identity already; nothing has changed")
                return
            if not force:
                raise IdentityRefused(
                    f"{home.identity} holds {present or 'something unreadable'}: choose another folder with --home, "
                    "or replace it with --force, which keeps the old file beside it"
                )
            aside = _set_aside(home.identity)
        write_private(home.identity, plain_pem(identity), replace=True)
    print(f"{home.identity}: this node is {peer_id_of(identity.author)} now; stop the one that used it elsewhere")
    if aside is not None:
        print(f"{aside}: the identity that was there before")


def _own(home: Home) -> Identity:
    if not home.identity.exists():
        raise IdentityRefused(f"{home.folder} has no identity yet: the first `arnode join` makes one")
    return load(home.identity)


def _present(home: Home) -> str | None:
    """The peer id of the folder's identity; None where its file cannot be used."""
    try:
        return peer_id_of(load(home.identity).author)
    except IdentityError:
        return None


def _alias(home: Home, identity: Identity) -> str:
    alias = alias_of(identity.author)
    if home.log.exists():
        with Log(home.log, read_only=True) as log:
            for _, record in log.since():
                if record.kind == "profile" and record.author == identity.author:
                    profile = read(record)
                    alias = profile.alias if isinstance(profile, Profile) else alias
    return alias


def _backup(file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            pem = opened.read(MAX_FILE)
            mode = stat.S_IMODE(os.fstat(opened.fileno()).st_mode)
    except OSError as error:
        raise IdentityRefused(f"cannot read {file}: {error.strerror}") from error
    if mode & 0o077:
        if not is_sealed(pem):
            return read_private(file)  # which refuses it
        print(f"note: {file} can be read by others; only its passphrase keeps them out", file=sys.stderr)
    return pem


def _set_aside(identity: Path) -> Path:
    """A second name for the old file, so that at no moment there is none."""
    moment = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    aside = identity.with_name(f"identity-{moment}.pem")
    try:
        os.link(identity, aside)
    except OSError as error:
        raise IdentityRefused(f"cannot keep the old identity as {aside}: {error.strerror}") from error
    return aside


def _read_passphrase(file: Path) -> str:
    """The first line of a file, which may be a pipe; a file on disk must be private."""
    try:
        data = read_private(file) if file.is_file() else file.read_bytes()
        line = data.decode().partition("\n")[0].rstrip("\r")
    except OSError as error:
        raise IdentityRefused(f"cannot read {file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise IdentityRefused(f"{file} holds no passphrase: it is not text") from error
    if not line:
        raise IdentityRefused(f"{file} holds no passphrase: its first line is empty")
    return line


def _new_passphrase() -> str:
    passphrase = _ask("Passphrase for the backup: ")
    if _ask("The same again: ") != passphrase:
        raise IdentityRefused("the two passphrases differ: nothing was written")
    return passphrase


def _ask(prompt: str) -> str:
    if not sys.stdin.isatty():
        raise IdentityRefused("there is no terminal to ask for a passphrase: give --passphrase-file FILE")
    try:
        return getpass.getpass(prompt)
    except EOFError as error:
        raise IdentityRefused("no passphrase was given") from error
