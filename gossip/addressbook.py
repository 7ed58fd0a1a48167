"""Whom this node has met and heard of, and where they were: how it finds back to its swarm without being told.

Peers it has connected to itself are kept for a month; what others merely say about peers is kept for a day, and no
source can fill the book or push out what others said, let alone peers that were met. The book is pure, with the time in
milliseconds since 1970 passed in; `load` and `save` keep it in a file, which is replaced whole and never fatal.
"""

import json
import os
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import trio
from libp2p.peer.id import ID
from multiaddr import Multiaddr
from multiaddr.exceptions import Error as MultiaddrError

FORMAT: Final = 1
SAVE_SECONDS: Final = 2.0
MAX_ADDRESSES: Final = 8
MAX_MET: Final = 200
MAX_HEARD: Final = 400
MAX_MET_PER_SOURCE: Final = 50
MAX_HEARD_PER_SOURCE: Final = 32
MET_FOR_MS: Final = 30 * 24 * 3600 * 1000
HEARD_FOR_MS: Final = 24 * 3600 * 1000
MAX_FAILURES: Final = 5
MAX_FILE_BYTES: Final = 4 * 1024 * 1024


class BookError(Exception):
    """The file could not be read or written; the message says what becomes of it."""


@dataclass(frozen=True)
class Entry:
    """What is known of a peer. source: who said so; seq: of the peer's signed record; met_ms: 0 for never."""

    addresses: tuple[str, ...]
    source: str
    seq: int
    heard_ms: int
    met_ms: int = 0
    failures: int = 0

    def alive(self, now_ms: int) -> bool:
        """Whether it is worth keeping."""
        if self.met_ms:
            return now_ms - self.met_ms < MET_FOR_MS
        return now_ms - self.heard_ms < HEARD_FOR_MS and self.failures < MAX_FAILURES


class AddressBook:
    """Peer ids and their entries. With a `path`, `load` and `save` keep them there."""

    def __init__(self, path: Path | None = None) -> None:
        self.changed = False
        self._path = path
        self._entries: dict[str, Entry] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, peer: str) -> bool:
        return peer in self._entries

    def hear(self, peer: str, addresses: Sequence[str], seq: int, source: str, now_ms: int) -> None:
        """Note a peer's own signed record, passed on by `source`. An older one than is known changes nothing."""
        wanted = tuple(address for address in addresses if is_plain(address))[:MAX_ADDRESSES]
        before = self._entries.get(peer)
        if not wanted or (before and (seq < before.seq or (seq == before.seq and before.heard_ms > now_ms - 60_000))):
            return
        if before is None:
            self._entries[peer] = Entry(wanted, source, seq, now_ms)
            self._bound(now_ms)
        elif set(before.addresses) == set(wanted):
            self._entries[peer] = replace(before, seq=seq, heard_ms=now_ms)  # the order says what has worked
        else:
            self._entries[peer] = replace(before, addresses=wanted, seq=seq, heard_ms=now_ms, failures=0)
        self.changed = True

    def met(self, peer: str, address: str, now_ms: int) -> None:
        """Note that dialling `address` reached that very peer."""
        if not is_plain(address):
            return
        before = self._entries.get(peer) or Entry((), peer, 0, now_ms)
        others = [other for other in before.addresses if other != address]
        self._entries[peer] = replace(
            before, addresses=(address, *others)[:MAX_ADDRESSES], met_ms=max(1, now_ms), failures=0
        )
        self._bound(now_ms)
        self.changed = True

    def failed(self, peer: str, now_ms: int) -> None:
        """Note that none of the peer's addresses answered."""
        entry = self._entries.get(peer)
        if entry is not None:
            self._entries[peer] = entry = replace(entry, failures=entry.failures + 1)
            if not entry.alive(now_ms):
                del self._entries[peer]
            self.changed = True

    def forget(self, peer: str) -> None:
        """Drop a peer, for example one of another swarm."""
        self.changed |= self._entries.pop(peer, None) is not None

    def peers(self) -> list[tuple[str, tuple[str, ...]]]:
        """All peers with their addresses, the one that worked last first: met ones before heard ones, latest first."""
        ordered = sorted(self._entries.items(), key=lambda item: (-item[1].met_ms, -item[1].heard_ms))
        return [(peer, entry.addresses) for peer, entry in ordered]

    def _bound(self, now_ms: int) -> None:
        alive = {peer: entry for peer, entry in self._entries.items() if entry.alive(now_ms)}
        met = {peer: entry for peer, entry in alive.items() if entry.met_ms}
        heard = {peer: entry for peer, entry in alive.items() if not entry.met_ms}
        self._entries = _fairest(met, MAX_MET, MAX_MET_PER_SOURCE) | _fairest(heard, MAX_HEARD, MAX_HEARD_PER_SOURCE)

    def load(self, now_ms: int) -> None:
        """Read the file, if there is one. Raises BookError for one that makes no sense, which is moved aside."""
        if self._path is None or not self._path.exists():
            return
        try:
            if self._path.stat().st_size > MAX_FILE_BYTES:
                raise ValueError("it is too large")
            self._entries = _read(json.loads(self._path.read_bytes()), now_ms)
        except OSError as error:
            raise BookError(f"{self._path} cannot be read ({error.strerror}); starting with an empty one") from error
        except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
            aside = self._path.with_name(f"{self._path.name}.corrupt-{now_ms}")
            try:
                os.replace(self._path, aside)
            except OSError as stuck:
                raise BookError(f"{self._path} is corrupt and cannot be moved aside ({stuck.strerror})") from error
            raise BookError(f"{self._path} is corrupt ({error}); moved to {aside.name}, starting anew") from error
        self._bound(now_ms)

    def save(self) -> None:
        """Replace the file, whole or not at all. Raises BookError."""
        if self._path is None:
            return
        self.changed = False
        kept = {peer: vars(entry) for peer, entry in list(self._entries.items())}
        temporary = self._path.with_name(f"{self._path.name}.new")
        try:
            with open(temporary, "w", encoding="utf-8", opener=_private) as file:
                json.dump({"format": FORMAT, "peers": kept}, file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, self._path)
        except OSError as error:
            self.changed = True
            raise BookError(f"{self._path} cannot be written ({error.strerror}); trying again later") from error


def remembered(path: Path, now_ms: int) -> list[tuple[str, tuple[str, ...]]]:
    """What a book's file says, in the order of `AddressBook.peers`; the file stays as it is. Raises BookError."""
    book = AddressBook()
    try:
        book._entries = _read(json.loads(path.read_bytes()), now_ms)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise BookError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        raise BookError(f"{path} is corrupt: {error}") from error
    return book.peers()


async def keep(book: AddressBook, report: Callable[[str, str], object]) -> None:
    """Write the book down whenever it has changed, and at the end. Runs until cancelled; a failure is reported once."""
    failed = False
    try:
        while True:
            await trio.sleep(SAVE_SECONDS)
            if book.changed:
                try:
                    await trio.to_thread.run_sync(book.save)
                    failed = False
                except BookError as error:
                    if not failed:
                        report("address book", str(error))
                    failed = True
    finally:
        with trio.CancelScope(shield=True), suppress(BookError):  # it was reported, or is lost with the last seconds
            await trio.to_thread.run_sync(book.save)


def is_plain(address: str) -> bool:
    """Whether it is an IP address with a TCP port and nothing else: what may be dialled on a stranger's word."""
    try:
        names = [protocol.name for protocol in Multiaddr(address).protocols()]
    except (MultiaddrError, ValueError):
        return False
    return names in (["ip4", "tcp"], ["ip6", "tcp"])


def _fairest(entries: dict[str, Entry], limit: int, per_source: int) -> dict[str, Entry]:
    """At most `limit` of them and `per_source` of each source: without the oldest of whoever said most."""
    kept = dict(entries)
    sources = Counter(entry.source for entry in kept.values())
    while len(kept) > limit or (sources and max(sources.values()) > per_source):
        loudest = max(sources, key=lambda source: sources[source])
        oldest = min(
            (peer for peer, entry in kept.items() if entry.source == loudest),
            key=lambda peer: (kept[peer].met_ms, kept[peer].heard_ms),
        )
        del kept[oldest]
        sources[loudest] -= 1
    return kept


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _read(document: Any, now_ms: int) -> dict[str, Entry]:
    if document["format"] != FORMAT:
        raise ValueError(f"format {document['format']!r} is unknown")
    entries = {}
    for peer, fields in document["peers"].items():
        ID.from_string(peer)
        numbers = [fields[name] for name in ("seq", "heard_ms", "met_ms", "failures")]
        if not all(type(number) is int for number in numbers) or type(fields["source"]) is not str:
            raise ValueError(f"the entry of {peer[:64]!r} has a field of a wrong type")
        if not all(type(address) is str and is_plain(address) for address in fields["addresses"]):
            raise ValueError(f"the entry of {peer[:64]!r} has an address that is none")
        entry = Entry(**{**fields, "addresses": tuple(fields["addresses"])})
        # a clock that went back must not keep an entry for ever
        entries[peer] = replace(entry, heard_ms=min(entry.heard_ms, now_ms), met_ms=min(entry.met_ms, now_ms))
    return entries
