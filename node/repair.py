"""A damaged log is moved aside, and a new one begun with what is readable of it; own records are in two places."""

import itertools
from collections.abc import Iterable, Iterator

from gossip.database import move_aside
from gossip.log import Log
from gossip.logfile import LogBlocked, LogDamaged
from gossip.record import Record
from gossip.salvage import readable_records
from node.events import count
from node.home import Home
from node.own import OwnRecords
from node.state import State

BATCH_RECORDS = 1000


def repair_log(home: Home, damage: LogDamaged) -> str:
    """Put a new log in the damaged one's place; returns what to tell the person. Raises LogError."""
    aside = move_aside(home.log)
    with Log(home.log) as log:
        kept = sum(len(log.append(batch)) for batch in _batches(readable_records(aside)))
    return (
        f"{damage}. It was moved to {aside}; {count(kept, 'record')} of it were readable and are kept, "
        "and peers send what is missing."
    )


def complete(state: State, own: OwnRecords) -> str:
    """Bring the log and the file of own records together; returns what to tell the person. Raises LogDamaged."""
    logged = state.ids_of(state.me)
    try:
        lacking = own.other_than(logged)
        for new in state.log.append(lacking):
            state.take(new)
        kept = {record_id for record_id, _ in own.lines()}
        only_logged = [record for record_id in logged - kept if (record := state.log.get(record_id)) is not None]
        if only_logged:
            own.keep(sorted(only_logged, key=lambda record: record.time_ms))
    except LogBlocked as error:
        return f" {error}; the next start tries again to keep own records in two places."
    return f" {count(len(lacking), 'own record')} came back from {own.path.name}." if lacking else ""


def _batches(records: Iterable[Record]) -> Iterator[list[Record]]:
    rest = iter(records)
    while batch := list(itertools.islice(rest, BATCH_RECORDS)):
        yield batch
