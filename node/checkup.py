"""Doctor's checks of this machine and of the state folder. They change nothing, and expect anything."""

import importlib.metadata
import os
import platform
import resource
import shutil
import sqlite3
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from shlex import quote
from typing import Final
from urllib.parse import quote as quote_url

from gossip.addressbook import BookError, remembered
from gossip.clock import now_ms
from gossip.host import peer_id_of
from gossip.identity import IdentityError, load_or_create
from gossip.logfile import SCHEMA_VERSION
from gossip.record import RecordError, parse, verify
from node.config import load_config
from node.configfile import ConfigError
from node.events import count
from node.finding import Case, Finding
from node.membership import MembershipError, load_membership

LEAST_PYTHON: Final = (3, 11)
LIBP2P: Final = "0.8.1"
NEEDED: Final = ("libp2p", "trio", "cryptography", "pydantic", "numpy", "torch")
FEW_FILES, TOO_FEW_FILES = 1024, 256
LITTLE_SPACE, NO_SPACE = 1024**3, 64 * 1024**2
LATEST_RECORDS: Final = 200
LOCK_SECONDS: Final = 5.0


def software(case: Case) -> Iterator[Finding]:
    """The versions of what arnode stands on."""
    versions: dict[str, str | None] = {}
    for name in ("arnode", *NEEDED):
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = None
    missing = [name for name in NEEDED if versions[name] is None]
    told = "".join(f"{name} {versions[name]}, " for name in ("arnode", "libp2p") if versions[name])
    text = f"{told}Python {platform.python_version()}"
    data = {"system": platform.platform(), "python": platform.python_version(), **versions}
    if sys.version_info < LEAST_PYTHON:
        text = f"Python {platform.python_version()} is too old: 3.11 or newer is needed"
        yield Finding("software", "failed", text, "name a newer one", "make PYTHON=python3.12 join", data)
    elif missing:
        text = f"not installed: {', '.join(missing)}"
        yield Finding("software", "failed", text, "install what arnode needs again", "make setup", data)
    elif versions["libp2p"] != LIBP2P:
        text = f"libp2p is {versions['libp2p']}, and arnode mends what is wrong in {LIBP2P}"
        yield Finding("software", "failed", text, "install that version", f"pip install libp2p=={LIBP2P}", data)
    else:
        yield Finding("software", "ok", text, data=data)


def limits(case: Case) -> Iterator[Finding]:
    """How many files and sockets the system lets a process open."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield files_finding(soft if soft != resource.RLIM_INFINITY else sys.maxsize)


def files_finding(allowed: int) -> Finding:
    """What a limit on open files means. Pure."""
    data = {"open_files": allowed}
    if allowed >= FEW_FILES:
        return Finding("limits", "ok", "enough open files and sockets are allowed", data=data)
    text = f"a process may open {allowed} files and sockets; a well-connected node needs more"
    status = "warning" if allowed >= TOO_FEW_FILES else "failed"
    return Finding("limits", status, text, "raise the limit in the shell that starts the node", "ulimit -n 4096", data)  # type: ignore[arg-type]


def settings(case: Case) -> Iterator[Finding]:
    """What was set for good, in config.toml and the environment."""
    try:
        said = load_config(case.home, os.environ, {}).sources
    except ConfigError as error:
        yield Finding("settings", "failed", str(error), "mend what is named", "arnode config show")
        return
    text = f"{count(len(said), 'setting')} said: {', '.join(sorted(said))}" if said else "all at their defaults"
    yield Finding("settings", "ok", text, data={"sources": dict(said)})


def folder(case: Case) -> Iterator[Finding]:
    """The state folder: there, a folder, writable, and nobody else's business."""
    path = case.home.folder
    if not path.exists():
        parent = _existing(path)
        if os.access(parent, os.W_OK | os.X_OK):
            yield Finding("folder", "ok", f"{path} is not there yet; the first `arnode join` makes it")
        else:
            text = f"{path} is not there and cannot be made: {parent} is not writable"
            yield Finding("folder", "failed", text, "choose another place", "arnode --home DIR join")
        return
    if not path.is_dir():
        yield Finding("folder", "failed", f"{path} is not a folder", "choose another place", "arnode --home DIR join")
        return
    status = path.stat()
    mode = stat.S_IMODE(status.st_mode)
    data = {"path": str(path), "mode": f"{mode:04o}"}
    if _read_only(path):
        text = f"{path} cannot be written: its file system is read-only"
        yield Finding("folder", "failed", text, "choose another place", "arnode --home DIR join", data)
    elif not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        text = f"{path} cannot be used by this user (mode {mode:04o}, owner {status.st_uid})"
        own = status.st_uid == os.getuid()
        command = f"chmod 700 {quote(str(path))}" if own else f"sudo chown -R $USER {quote(str(path))}"
        yield Finding("folder", "failed", text, "give it to this user", command, data)
    elif mode & 0o077:
        text = f"others can look into {path} (mode {mode:04o})"
        yield Finding(
            "folder", "warning", text, "the next start mends it, or now", f"chmod 700 {quote(str(path))}", data
        )
    else:
        yield Finding("folder", "ok", str(path), data=data)


def identity(case: Case) -> Iterator[Finding]:
    """The key file: readable by its owner alone, and a key."""
    path = case.home.identity
    if not _there(path):
        yield Finding("identity", "ok", "none yet; the first `arnode join` makes one")
        return
    try:
        peer = peer_id_of(load_or_create(path).author)
    except IdentityError as error:
        text, _, advice = str(error).partition(": ")
        command = f"chmod 600 {quote(str(path))}" if "chmod" in advice else ""
        advice = "let its owner alone read it; if others may have read it, start with a new one" if command else advice
        yield Finding("identity", "failed", text, advice, command)
    except OSError as error:
        text = f"{path} cannot be read: {error.strerror}"
        yield Finding("identity", "failed", text, "give it to this user", f"sudo chown $USER {quote(str(path))}")
    else:
        yield Finding("identity", "ok", peer, data={"peer": peer})


def disk(case: Case) -> Iterator[Finding]:
    """Free space where the state folder is."""
    place = _existing(case.home.folder)
    yield disk_finding(shutil.disk_usage(place).free, place)


def disk_finding(free: int, place: Path) -> Finding:
    """What `free` bytes at `place` mean. Pure."""
    data = {"free_bytes": free}
    text = f"{_bytes(free)} free at {place}"
    if free >= LITTLE_SPACE:
        return Finding("disk", "ok", text, data=data)
    if free >= NO_SPACE:
        return Finding("disk", "warning", text, "make room before it is full", f"df -h {quote(str(place))}", data)
    advice = "a node stores nothing while the disk is full; make room, and it goes on by itself"
    return Finding("disk", "failed", text, advice, f"df -h {quote(str(place))}", data)


def log(case: Case) -> Iterator[Finding]:
    """The log: a sound SQLite file of this format whose latest records are whole."""
    path = case.home.log
    if not _there(path):
        yield Finding("log", "ok", "no records yet")
        return
    data = {"path": str(path)}
    again = "stop the node and start it again: it moves the file aside, and fetches the records from its peers"
    try:
        records, broken, version = _read_log(path)
    except (sqlite3.OperationalError, OSError) as error:
        if "locked" in str(error):
            yield Finding("log", "warning", f"{path} is held by another program", "try again in a minute", data=data)
        else:
            advice = "see what is there, and who may read it"
            yield Finding(
                "log", "failed", f"{path} cannot be opened: {error}", advice, f"ls -ld {quote(str(path))}", data
            )
        return
    except sqlite3.Error as error:
        yield Finding("log", "failed", f"{path} is damaged: {error}", again, data=data)
        return
    data |= {"records": str(records), "bytes": str(path.stat().st_size)}
    if version > SCHEMA_VERSION:
        text = f"{path} was written by a newer arnode (format {version}, this one knows {SCHEMA_VERSION})"
        yield Finding("log", "failed", text, "upgrade arnode", "git pull && make setup", data)
    elif broken:
        yield Finding("log", "failed", f"{path} is damaged: {broken}", again, data=data)
    else:
        yield Finding("log", "ok", f"{count(records, 'record')}, {_bytes(path.stat().st_size)}, sound", data=data)


def membership(case: Case) -> Iterator[Finding]:
    """Which swarm the folder belongs to."""
    path = case.home.membership
    try:
        known = load_membership(case.home)
    except MembershipError as error:
        text, _, advice = str(error).partition(": ")
        command = f"chmod 600 {quote(str(path))}" if "chmod" in advice else ""
        yield Finding("swarm", "failed", text, advice, command)
        return
    except OSError as error:
        yield Finding("swarm", "failed", f"{path} cannot be read: {error.strerror}", "see what is said of the folder")
        return
    words = known.swarm if known.key is None else f"{known.swarm}, private, key {known.key.fingerprint}"
    why = "" if _there(path) else ", as nothing else was ever joined"
    yield Finding("swarm", "ok", f"{words}{why}", data={"swarm": known.swarm, "private": known.key is not None})


def book(case: Case) -> Iterator[Finding]:
    """The addresses of peers that were met."""
    path = case.home.book(case.swarm)
    try:
        known = remembered(path, now_ms())
    except BookError as error:
        text, _, why = str(error).partition(": ")
        yield Finding("peers", "warning", f"{text} ({why})", "the next start moves it aside and begins a new one")
        return
    if known:
        yield Finding("peers", "ok", f"{count(len(known), 'peer')} remembered", data={"peers": len(known)})


def _read_log(path: Path) -> tuple[int, str, int]:
    """How many records there are, what is wrong with them (empty for nothing), and the file's format."""
    connection = sqlite3.connect(f"file:{quote_url(str(path))}?mode=ro", uri=True, timeout=LOCK_SECONDS)
    try:
        version = int(connection.execute("PRAGMA user_version").fetchone()[0])
        told = str(connection.execute("PRAGMA quick_check(1)").fetchone()[0])
        if told != "ok" or version > SCHEMA_VERSION:
            return 0, "" if told == "ok" else told, version
        records = int(connection.execute("SELECT COUNT(*) FROM records").fetchone()[0])
        latest = connection.execute("SELECT raw FROM records ORDER BY arrival DESC LIMIT ?", (LATEST_RECORDS,))
        for (raw,) in latest.fetchall():
            try:
                verify(parse(raw))
            except (RecordError, TypeError) as error:
                return records, f"a record is not what its author signed ({error})", version
        return records, "", version
    finally:
        connection.close()


def _there(path: Path) -> bool:
    """Whether something has that name; also where this user may not look."""
    try:
        return path.exists()
    except OSError:
        return True


def _existing(path: Path) -> Path:
    """The path, or the nearest folder above it that exists."""
    return next(place for place in (path, *path.parents) if place.exists())


def _read_only(path: Path) -> bool:
    return bool(os.statvfs(path).f_flag & os.ST_RDONLY)


def _bytes(size: float) -> str:
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000 or unit == "GB":
            break
        size /= 1000
    return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:,.1f} {unit}"
