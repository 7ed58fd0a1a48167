"""A node forgets what is old once an archive has it, over real sockets, and says the same after its next start."""

from pathlib import Path

import pytest
import trio

from agent.retention import rule
from gossip.clock import now_ms
from gossip.events import SyncFinished
from gossip.identity import new_identity
from node.export.choice import ExportError, find_record
from node.retention import DAY_MS, Retention
from node.state import State, open_state
from tests.gossip.nodes import Node, node
from tests.node.lab import Lab, open_lab

ANN = new_identity()


def fill(lab: Lab) -> None:
    """Sixty failures of another author and one discovery, a year old, as many new ones, and own ones of both ages."""
    for start in (now_ms() - 365 * DAY_MS, now_ms() - DAY_MS // 2):
        lab.clock = start
        lab.write(lab.result({"INIT": "normal"}), ANN)
        for number in range(60):
            lab.write(lab.result({"RATE": 0.2 + number / 1000}, verdict="discard", values=(3.0, 2.7)), ANN)
        lab.write(lab.result({"DEPTH": 4}, verdict="discard", values=(3.0, 2.7)))


async def forgetting(state: State, laptop: Node, keep_days: float = 30) -> list[str]:
    """Forget once by what the laptop's exchanges tell; what the person is told."""
    told: list[str] = []
    done = trio.Event()

    def note(text: str) -> None:
        told.append(text)
        done.set()

    retention = Retention(state.log, lambda: rule(state.notebook), laptop.network.forget, note, keep_days)
    for event in laptop.heard:
        if isinstance(event, SyncFinished):
            retention.archived(event.archived)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(retention.run)
        with trio.move_on_after(20):
            if retention._archived:
                await done.wait()
        nursery.cancel_scope.cancel()
    return told


def said(state: State) -> list[object]:
    book = state.notebook
    return [book.effects(), book.board(), book.noise(), book.tried, book.best(), book.discoveries()]


async def test_what_an_archive_has_is_forgotten_and_the_notebook_says_the_same(tmp_path: Path) -> None:
    with open_lab(tmp_path) as lab, open_state(lab.home, None, writing=True) as state:
        fill(lab)
        for _, record in lab.log.since():
            state.take(record)
        before = said(state)
        async with node(tmp_path / "archive", archive=True) as archive:
            async with node(tmp_path, log=state.log, bootstrap=archive.network.addresses[:1]) as laptop:
                await laptop.until(lambda: any(e.archived for e in laptop.all(SyncFinished)))
                assert archive.log.count() == 124
                (told,) = await forgetting(state, laptop)
                assert told.startswith("60 records of others, older than 30 days, are kept in short from now on")
                assert state.log.count() == 64
                old = archive.log.before(now_ms() - 30 * DAY_MS, 1000)
                gone = next(record for record in old if not state.log.has(record.id))
                with pytest.raises(ExportError, match="in short only"):
                    find_record(state, gone.id.hex()[:8])
            async with node(tmp_path, log=state.log, bootstrap=archive.network.addresses[:1]) as laptop:
                await laptop.until(lambda: bool(laptop.all(SyncFinished)))
                assert [(e.received, e.sent) for e in laptop.all(SyncFinished)] == [(0, 0)]
    with open_state(lab.home, None, writing=False) as later:
        assert said(later) == before
        assert later.notebook.was_tried(state.notebook.experiments(ANN.author)[5].candidate, by_anyone=True)


@pytest.mark.parametrize("peer", ["no archive", "keeps all itself"])
async def test_nothing_is_forgotten_without_an_archive_or_by_one(tmp_path: Path, peer: str) -> None:
    with open_lab(tmp_path) as lab, open_state(lab.home, None, writing=True) as state:
        fill(lab)
        async with (
            node(tmp_path / "other", archive=peer != "no archive") as other,
            node(tmp_path, log=state.log, bootstrap=other.network.addresses[:1]) as laptop,
        ):
            await laptop.until(lambda: bool(laptop.all(SyncFinished)) and other.log.count() == 124)
            keep = float("inf") if peer == "keeps all itself" else 30
            assert await forgetting(state, laptop, keep) == []
            assert state.log.count() == 124
