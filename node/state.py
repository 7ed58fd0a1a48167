"""What a node knows: its identity, its log and what it computed from it, and the one way to add to both.

Used by the running node and, read-only, by the commands that look into a node's log.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from agent.entries import Entry, Profile, Result, read
from agent.notebook import Notebook
from gossip.identity import load_or_create
from gossip.log import Log
from gossip.record import Record
from node import events
from node.events import Event
from node.home import Home
from node.names import alias_of
from trainer.device import Device, detect
from trainer.task import Task, load_task

DEFAULT_TASK = "story-cpu"


def remembered_task(home: Home) -> str:
    """The task that a node here last worked on, or the built-in one."""
    try:
        return home.task.read_text(encoding="utf-8").strip() or DEFAULT_TASK
    except FileNotFoundError:
        return DEFAULT_TASK


@dataclass
class State:
    """A log with its notebook. me: this node's public key (32 bytes)."""

    home: Home
    task: Task
    device: Device
    me: bytes
    log: Log
    notebook: Notebook
    _profiles: dict[bytes, tuple[int, bytes, Profile]] = field(default_factory=dict)
    _authors: dict[bytes, bytes] = field(default_factory=dict)
    _confirmed: set[bytes] = field(default_factory=set)

    def load(self) -> None:
        """Take in what the log holds already."""
        for _, record in self.log.since():
            self.take(record)

    def take(self, record: Record) -> list[Event]:
        """Add a record that is in the log to the notebook; returns what is to be told, the record itself first."""
        entry = read(record)
        self._authors[record.id] = record.author
        if isinstance(entry, Profile):
            stamp = (record.time_ms, record.id, entry)
            if record.author not in self._profiles or stamp[:2] > self._profiles[record.author][:2]:
                self._profiles[record.author] = stamp
        elif record.task != self.task.fingerprint:
            return []
        self.notebook.add(record)
        return [self.event_of(record, entry), *self._newly_confirmed(record, entry)]

    def _newly_confirmed(self, record: Record, entry: Entry) -> Iterator[Event]:
        if not isinstance(entry, Result) or entry.verdict != "keep":
            return
        found = self.notebook.discovery(entry.replicates or record.id)
        if found is None or found.status != "confirmed" or found.record_id in self._confirmed:
            return
        self._confirmed.add(found.record_id)
        yield Event(
            "confirmed",
            record.time_ms,
            self.alias(found.author),
            found.author == self.me,
            {
                "id": found.record_id.hex(),
                "change": {knob: list(pair) for knob, pair in found.change.items()},
                "keepers": 1 + len(found.adopters),
            },
        )

    def alias(self, author: bytes) -> str:
        """How the author calls itself, else two words from its key. Two authors may choose one alias; ids tell."""
        known = self._profiles.get(author)
        return known[2].alias if known else alias_of(author)

    def profile(self) -> Profile | None:
        """This node's latest profile."""
        known = self._profiles.get(self.me)
        return known[2] if known else None

    def event_of(self, record: Record, entry: Entry) -> Event:
        """The event that a record of this log is."""
        return events.of_record(
            record, entry, me=self.me, alias=self.alias, author_of=self._authors.get, metric=self.task.metric
        )


@contextmanager
def open_state(home: Home, task_reference: str | None, *, writing: bool) -> Iterator[State]:
    """Open the log of a state folder and read it into a notebook.

    writing: False for commands that only look, and may do so while a node runs. Raises TaskError, LogError,
    IdentityError.
    """
    task = load_task(task_reference or remembered_task(home))
    with Log(home.log, read_only=not writing) as log:
        device = detect()
        me = load_or_create(home.identity).author
        state = State(home, task, device, me, log, Notebook(task, me, device.device_class))
        state.load()
        yield state


Show = Callable[[Event], None]
