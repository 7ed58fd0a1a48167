"""The swarm in memory whose deliveries are counted."""

from bench.delivery import NODES, Turns, carried


def test_every_record_reaches_every_node_and_two_runs_take_the_same_turns_and_bytes() -> None:
    turns = Turns(), Turns()
    first, second = (carried(2, each) for each in turns)
    assert first.deliveries == 2 * (NODES - 1)
    assert first == second
    assert turns[0].count == turns[1].count > first.deliveries
