"""Where records belong in a sharded swarm: all that was found is for everybody of the task."""

import pytest

from agent.entries import NO_TASK, Profile, Result, kept, read
from agent.shelves import PROFILES, shelf_of, shelves_of
from gossip.layout import is_shelf
from gossip.record import pack_body, sign
from tests.agent.test_notebook import ANN, ME, TASK, Writer, many_records, notebook
from tests.agent.world import DEVICE_CLASS

FOUND, TRIED, _ = shelves_of(TASK.fingerprint, DEVICE_CLASS)


def test_only_what_came_to_nothing_and_tests_nobodys_discovery_is_for_its_device_class_alone() -> None:
    for record in many_records():
        entry = read(record)
        vain = isinstance(entry, Result) and not kept(entry.verdict) and entry.replicates is None
        expected = PROFILES if isinstance(entry, Profile) else TRIED if vain else FOUND
        assert shelf_of(record) == expected
    assert {shelf_of(record) for record in many_records()} == {FOUND, TRIED, PROFILES}


def test_a_node_of_another_class_knows_every_discovery_and_who_confirmed_it() -> None:
    everything = notebook(*many_records())
    elsewhere = notebook(*(record for record in many_records() if shelf_of(record) != TRIED))
    assert elsewhere.discoveries()
    told = [(one.record_id, one.status, one.adopters) for one in everything.discoveries()]
    assert [(one.record_id, one.status, one.adopters) for one in elsewhere.discoveries()] == told


def test_an_author_is_of_no_task() -> None:
    assert shelf_of(Writer()(ANN, Profile(alias="a", device_class="cpu", device="x"), NO_TASK)) == PROFILES


@pytest.mark.parametrize("named", ["../presence", "", "found", "Ω", 7, "x" * 200, None])
def test_whatever_a_body_says_of_its_device_it_has_a_shelf_with_a_proper_name(named: object) -> None:
    record = sign(ME, "result", TASK.fingerprint, 1, pack_body({"verdict": "discard", "device_class": named}))
    assert shelf_of(record).endswith("/other")
    assert is_shelf(shelf_of(record))


def test_every_shelf_has_a_proper_name() -> None:
    for device_class in ("cpu", "mps", "cuda-16g", "cuda-80g+"):
        assert all(map(is_shelf, shelves_of(TASK.fingerprint, device_class)))
