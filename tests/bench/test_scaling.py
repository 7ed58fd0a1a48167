"""The arithmetic of docs/scaling.md, its constants, and that the page shows what it gives."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from libp2p.pubsub.pb import rpc_pb2

from agent.entries import Presence, write
from bench import scaling
from bench.records import typical_results
from bench.scaling import BOUNDS, TABLES, Swarm, largest, load
from gossip.identity import ED25519_PREFIX, new_identity
from gossip.layout import PRESENCE, RECORDS, topic_of
from gossip.outgoing import piece_of
from gossip.record import Record
from node.simulation.flooding import spread

PAGE = Path(__file__).parents[2] / "docs" / "scaling.md"
SWARMS = st.builds(Swarm, nodes=st.floats(10, 1e6), experiments=st.floats(0.1, 200))


def message(record: Record, shelf: str) -> bytes:
    author = ED25519_PREFIX + record.author
    return piece_of(
        rpc_pb2.Message(
            from_id=author, data=record.raw, seqno=bytes(8), topicIDs=[topic_of("main", shelf)], signature=bytes(64)
        )
    )


def test_sizes_are_those_of_today() -> None:
    result = typical_results(1)[0]
    claim = Presence(alias="calm-otter-17", activity="testing MATRIX_LR=0.003", claim={"MATRIX_LR": 0.003}, best=1.81)
    presence = write(new_identity(), bytes(32), 1, claim)
    assert len(result.raw) == pytest.approx(scaling.RECORD_BYTES, rel=0.15)
    assert len(presence.raw) == pytest.approx(scaling.PRESENCE_BYTES, rel=0.15)
    for record, shelf in ((result, RECORDS), (presence, PRESENCE)):
        assert len(message(record, shelf)) - len(record.raw) == pytest.approx(spread.MESSAGE_BYTES, abs=10)


@pytest.mark.parametrize("many", [1, 2, 10])
def test_sizes_of_announced_ids_are_the_wires(many: int) -> None:
    ids = [bytes(46)] * many
    offer = rpc_pb2.ControlIHave(topicID=topic_of("main", RECORDS), messageIDs=ids)
    wanted = rpc_pb2.ControlIWant(messageIDs=ids)
    for control, fixed in (
        (rpc_pb2.ControlMessage(ihave=[offer]), spread.ANNOUNCEMENT_BYTES),
        (rpc_pb2.ControlMessage(iwant=[wanted]), spread.REQUEST_BYTES),
    ):
        sent = len(rpc_pb2.RPC(control=control).SerializeToString())
        assert sent == pytest.approx(fixed + many * spread.ID_BYTES, abs=4)


@given(SWARMS, st.floats(1.01, 10))
def test_more_nodes_or_experiments_are_more_of_everything(swarm: Swarm, factor: float) -> None:
    less = load(swarm)
    for more in (
        load(Swarm(swarm.nodes * factor, swarm.experiments)),
        load(Swarm(swarm.nodes, swarm.experiments * factor)),
    ):
        assert more.sent > less.sent
        assert more.log > less.log
        assert more.memory > less.memory


@given(SWARMS, st.integers(1, 100))
def test_a_node_in_one_of_several_topics_carries_what_a_smaller_swarm_would_be(swarm: Swarm, topics: int) -> None:
    divided = load(Swarm(swarm.nodes * topics, swarm.experiments, topics))
    whole = load(swarm)
    assert divided.sent == pytest.approx(whole.sent)
    assert divided.cores == pytest.approx(whole.cores)
    assert divided.log == pytest.approx(whole.log)


@pytest.mark.parametrize(("name", "within"), BOUNDS)
def test_a_bound_holds_below_its_number_of_nodes_and_not_above(name: str, within: object) -> None:
    for paced in (True, False):
        like = Swarm(1, 100, paced=paced)
        most = largest(within, like)  # type: ignore[arg-type]
        assert within(replace(like, nodes=most * 0.99)), name  # type: ignore[operator]
        assert not within(replace(like, nodes=most * 1.01)), name  # type: ignore[operator]


@pytest.mark.parametrize("title", TABLES)
def test_the_page_shows_the_table_as_it_is_printed(title: str) -> None:
    assert TABLES[title]() in PAGE.read_text(encoding="utf-8")
