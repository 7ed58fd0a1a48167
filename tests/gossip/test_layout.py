"""A sharded swarm over real sockets: each node has the shelves that it keeps, an archive has all."""

from pathlib import Path

import pytest

from gossip.layout import PRESENCE, RECORDS, Layout, is_sharded, is_shelf, topic_of
from gossip.log import Log
from gossip.record import Record
from tests.gossip.nodes import Node, node, record
from tests.gossip.test_sync import AUTHOR, counts, exchange, side

FOUND, CPU, GPU, ELSE = "t1/found", "t1/cpu", "t1/cuda-24g", "t2/found"


def shelf_of(new: Record) -> str:
    """In these tests a record says itself where it belongs."""
    return str(new.value()["text"])


def keeping(*shelves: str) -> Layout:
    return Layout(shelves, shelf_of)


def has(one: Node, records: list[Record]) -> bool:
    return all(one.log.has(new.id) for new in records)


def shelves_in(log: Log) -> set[str]:
    return {shelf_of(new) for _, new in log.since()}


async def test_what_was_found_reaches_all_classes_of_a_task_and_failures_only_their_own(tmp_path: Path) -> None:
    async with (
        node(tmp_path / "archive", archive=True, layout=keeping(ELSE)) as archive,
        node(tmp_path / "a", layout=keeping(FOUND, CPU), bootstrap=archive.network.addresses[:1]) as a,
        node(tmp_path / "b", layout=keeping(FOUND, CPU), bootstrap=a.network.addresses[:1]) as b,
        node(tmp_path / "gpu", layout=keeping(FOUND, GPU), bootstrap=a.network.addresses[:1]) as gpu,
        node(tmp_path / "other", layout=keeping(ELSE), bootstrap=a.network.addresses[:1]) as other,
    ):
        for each, peers in ((a, 2), (b, 1), (gpu, 1)):
            await each.until_heard_by(peers)
        found = [await a.say(text=FOUND), await gpu.say(text=FOUND)]
        tried, on_gpu, elsewhere = await a.say(text=CPU), await gpu.say(text=GPU), await other.say(text=ELSE)
        for each in (a, b, gpu):
            await each.until(lambda each=each: has(each, found))  # type: ignore[misc]
        await b.until(lambda: has(b, [tried]))
        async with node(tmp_path / "late", layout=keeping(FOUND, GPU), bootstrap=gpu.network.addresses[:1]) as late:
            await late.until(lambda: has(late, [*found, on_gpu]))
            assert shelves_in(late.log) == {FOUND, GPU}
        await archive.until(lambda: has(archive, [*found, tried, elsewhere]), 40)
        assert shelves_in(b.log) == {FOUND, CPU}
        assert shelves_in(gpu.log) == {FOUND, GPU}
        assert shelves_in(other.log) == {ELSE}


async def test_histories_are_compared_over_what_both_sides_keep(tmp_path: Path) -> None:
    records = [record(AUTHOR, text=shelf) for shelf in (FOUND, CPU, GPU, ELSE) for _ in range(50)]
    on = {shelf: [new for new in records if shelf_of(new) == shelf] for shelf in (FOUND, CPU, GPU, ELSE)}
    async with (
        side(tmp_path, [*on[FOUND], *on[CPU]], layout=keeping(FOUND, CPU)) as cpu,
        side(tmp_path, on[GPU], layout=keeping(FOUND, GPU)) as gpu,
        side(tmp_path, on[ELSE], layout=keeping(ELSE)) as other,
        side(tmp_path, archive=True, layout=keeping("t3/found")) as archive,
        side(tmp_path, archive=True, layout=keeping("t4/found")) as second,
    ):
        assert await counts(gpu, cpu) == [(50, 0), (0, 50)]
        assert await counts(other, cpu) == [(0, 0), (0, 0)]
        assert [done.archived > 0 for done in await exchange(gpu, archive)] == [True, False]
        assert await counts(archive, cpu) == [(50, 0), (0, 50)]
        assert await counts(archive, other) == [(50, 0), (0, 50)]
        assert await counts(second, archive) == [(200, 0), (0, 200)]
        assert second.log.ids() == archive.log.ids()


async def test_what_is_forgotten_stays_on_its_shelf_over_a_restart(tmp_path: Path) -> None:
    records = [record(AUTHOR, text=shelf) for shelf in (FOUND, CPU) for _ in range(50)]
    async with side(tmp_path, records, layout=keeping(FOUND, CPU)) as one:
        await one.intake.forget([(old, b"") for old in records[25:75]])
        path = one.log.path
        before = {shelf: len(one.log.shelves.items(shelf)) for shelf in (FOUND, CPU)}
    with Log(path) as log:
        log.shelves.arrange(keeping(FOUND, CPU))
        assert {shelf: len(log.shelves.items(shelf)) for shelf in (FOUND, CPU)} == before == {FOUND: 50, CPU: 50}


async def test_a_record_of_a_shelf_that_is_not_kept_is_not_stored_and_nobody_is_blamed(tmp_path: Path) -> None:
    async with side(tmp_path, layout=keeping(FOUND)) as one:
        sifted = await one.intake.sift([record(AUTHOR, text=GPU).raw, record(AUTHOR, text=FOUND).raw])
        assert [shelf_of(new) for new in sifted.good] == [FOUND]
        assert [str(error) for error in sifted.refused] == ["of a shelf that this node does not keep"]


def test_a_swarms_name_tells_its_layout() -> None:
    assert [is_sharded(name) for name in ("main", "lab.sharded", "sharded")] == [False, True, False]
    assert topic_of("main", RECORDS) == "arnode/1/main/records"


@pytest.mark.parametrize("name", ["", "/", "a/b/c", "A", "a b", "x" * 41, 7, None, PRESENCE + "/"])
def test_what_cannot_be_a_shelf_is_refused(name: object) -> None:
    assert not is_shelf(name)
