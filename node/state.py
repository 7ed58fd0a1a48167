"""What a node knows: its identity, its log and what it computed from it, and the one way to add to both.

Used by the running node and, read-only, by the commands that look into a node's log.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from agent.entries import kept, read
from agent.notebook import Notebook
from gossip.identity import load_or_create
from gossip.log import Log
from gossip.logfile import LogDamaged
from gossip.record import Record
from node import events
from node.events import Event
from node.home import Home
from node.names import alias_of
from trainer.device import Device, detect
from trainer.merge import lines_changed
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
    """A log with its notebook. me: this node's public key (32 bytes); changes: how many records it has taken in."""

    home: Home
    task: Task
    device: Device
    me: bytes
    log: Log
    notebook: Notebook
    changes: int = 0
    _authors: dict[bytes, bytes] = field(default_factory=dict)
    _confirmed: set[bytes] = field(default_factory=set)

    def load(self) -> None:
        """Take in what the log holds already. Raises LogDamaged."""
        for _, record in self.log.since():
            self._add(record)
        for one in self.log.forgotten():
            self._authors[one.id] = one.author
            if one.gist:
                try:
                    self.notebook.add_gist((one.time_ms, one.id), one.author, one.task, one.gist)
                except ValueError as error:
                    raise LogDamaged(f"{self.log.path} is damaged: {error}") from error
        self._confirmed.update(found.record_id for found in self.notebook.discoveries() if found.status == "confirmed")

    def take(self, record: Record) -> list[Event]:
        """Add a record that is in the log to the notebook; returns what is to be told, the record itself first."""
        self._add(record)
        if record.kind != "profile" and record.task != self.task.fingerprint:
            return []
        return [self._with_standing(self.event_of(record)), *self._newly_confirmed(record)]

    def _with_standing(self, event: Event) -> Event:
        """What was kept, with how many nodes hold it by now, of how many that work on this task."""
        if event.kind != "result" or not kept(event.data["verdict"]):
            return event
        found = self.notebook.discovery(bytes.fromhex(event.data["id"]))
        if found is None or found.adopters == (found.author,):
            return event
        standing = {"holders": len(found.adopters), "nodes": len(self.notebook.board())}
        return replace(event, data={**event.data, **standing})

    def _add(self, record: Record) -> None:
        self.changes += 1
        self._authors[record.id] = record.author
        self.notebook.add(record)

    def _newly_confirmed(self, record: Record) -> Iterator[Event]:
        found = self.notebook.discovery(record.id)
        if found is None or found.status != "confirmed" or found.record_id in self._confirmed:
            return
        self._confirmed.add(found.record_id)
        data = {
            "id": found.record_id.hex(),
            "change": {knob: list(pair) for knob, pair in found.change.knobs.items()},
            "edits": {file: lines_changed(*texts) for file, texts in found.change.edits.items()},
            "keepers": len(found.adopters),
            "kept_by": [self.alias(author) for author in found.adopters],
        }
        yield Event("confirmed", record.time_ms, self.alias(found.author), found.author == self.me, data)

    def alias(self, author: bytes) -> str:
        """How the author calls itself, else two words from its key. Two authors may choose one alias; ids tell."""
        profile = self.notebook.profile(author)
        return profile.alias if profile else alias_of(author)

    def event_of(self, record: Record) -> Event:
        """The event that a record of this log is."""
        return events.of_record(
            record, read(record), me=self.me, alias=self.alias, author_of=self._authors.get, task=self.task
        )

    def ids_of(self, author: bytes) -> set[bytes]:
        """The ids of that author's records."""
        return {record_id for record_id, who in self._authors.items() if who == author}

    def best_record(self) -> Record | None:
        """The record of the experiment that made this node's best recipe; None while that is the baseline."""
        keeps = [test for test in self.notebook.experiments(self.me) if kept(test.verdict)]
        return self.log.get(keeps[-1].record_id) if keeps else None


@contextmanager
def open_state(home: Home, task_reference: str | None, *, writing: bool) -> Iterator[State]:
    """Open the log of a state folder and read it into a notebook.

    writing: False for commands that only look, and may do so while a node runs. Raises TaskError, LogError,
    IdentityError.
    """
    task = load_task(task_reference or remembered_task(home))
    with Log(home.log, read_only=not writing) as log:
        device = detect(task.devices)
        me = load_or_create(home.identity).author
        state = State(home, task, device, me, log, Notebook(task, me, device.device_class))
        state.load()
        yield state


Show = Callable[[Event], None]
