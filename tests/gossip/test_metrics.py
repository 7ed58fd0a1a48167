"""Figures that move with what happens on real nodes, and labels that no peer can add to."""

import math
import re
from contextlib import AsyncExitStack
from pathlib import Path
from typing import get_args

import pytest
from prometheus_client.parser import text_string_to_metric_families

from gossip.clock import now_ms
from gossip.events import PeerRejected, RecordArrived
from gossip.metrics import Metrics, Reason, Role, look_up
from gossip.record import BadSignature, RecordError, TooLarge
from tests.e2e.processes import ROOT
from tests.gossip.nodes import node, record


def samples(text: bytes) -> dict[str, float]:
    """Every sample of a scrape, by `name{label=value,…}`."""
    return {
        sample.name + "".join(f"[{value}]" for value in sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


async def test_records_peers_and_exchanges_are_counted(tmp_path: Path) -> None:
    async with (
        node(tmp_path / "a") as a,
        node(tmp_path / "b", bootstrap=[a.network.addresses[0]], records=[record(a.identity)]) as b,
    ):
        await a.until(lambda: bool(a.all(RecordArrived)))  # by sync
        await b.until(lambda: b.network.metrics.value("arnode_sync_records_total", direction="sent") == 1)
        await a.until_heard_by(1)
        await b.until_heard_by(1)
        await a.say()
        await b.until(lambda: bool(b.all(RecordArrived)))
        await b.until(lambda: b.network.metrics.value("arnode_syncs_total", role="leader", outcome="done") >= 1)

        at_a, at_b = samples(a.network.metrics.text()), samples(b.network.metrics.text())
        assert at_a["arnode_records_total[sync]"] == 1
        assert at_a["arnode_records_total[own]"] == 1
        assert at_b["arnode_records_total[gossip]"] + at_b["arnode_records_total[sync]"] == 1
        assert (at_a["arnode_peers[inbound]"], at_b["arnode_peers[outbound]"]) == (1, 1)
        assert at_b["arnode_dials_total[connected]"] >= 1
        assert at_b["arnode_sync_records_total[sent]"] == 1
        assert at_a["arnode_log_bytes"] >= sum(len(one.raw) for _, one in a.log.since())
        assert not any(value for name, value in at_a.items() if name.startswith(("arnode_rejected", "arnode_bans")))


async def test_a_refused_record_is_counted_by_its_reason(tmp_path: Path) -> None:
    def check(new: object) -> None:
        raise RecordError("not wanted here")

    async with node(tmp_path / "a", check=check) as a, node(tmp_path / "b", bootstrap=[a.network.addresses[0]]) as b:
        await b.until_heard_by(1)
        await b.say()
        await a.until(lambda: a.network.metrics.value("arnode_rejected_total", reason="body") >= 1)


def test_every_label_is_known_from_the_start_and_none_is_ever_added() -> None:
    metrics = Metrics()
    before = samples(metrics.text()).keys()
    assert {f"arnode_rejected_total[{reason}]" for reason in get_args(Reason)} <= before
    metrics.count(PeerRejected("peer that chose this text", "and this", 3))
    metrics.reject(TooLarge("of a stranger's choice"))
    for role in get_args(Role):
        metrics.sync_ended(role, "gone")
    assert samples(metrics.text()).keys() == before
    assert metrics.value("arnode_bans_total") == 1


def test_the_page_lists_every_metric_with_its_labels_and_type() -> None:
    page = (ROOT / "docs" / "troubleshooting.md").read_text()
    documented = set(re.findall(r"^\| `(arnode_\w+)(?:{([\w,]+)})?` \| (\w+) \|", page, re.MULTILINE))
    families = {family.name: family for family in Metrics().registry.collect()}
    assert documented == {
        (
            name + ("_total" if family.type == "counter" else ""),
            ",".join(family.samples[0].labels),
            family.type,
        )
        for name, family in families.items()
    }
    for value in {value for family in families.values() for one in family.samples for value in one.labels.values()}:
        assert f"`{value}`" in page


def test_errors_have_their_reasons() -> None:
    metrics = Metrics()
    metrics.reject(BadSignature("x"))
    metrics.reject("limit")
    assert metrics.value("arnode_rejected_total", reason="signature") == 1
    assert metrics.value("arnode_rejected_total", reason="limit") == 1
    with pytest.raises(KeyError, match="arnode_rejected_total"):
        metrics.value("arnode_rejected_total", reason="unknown")


async def test_the_clock_offset_is_unknown_until_enough_peers_have_told(tmp_path: Path) -> None:
    def late() -> int:
        return now_ms() - 90_000

    async with node(tmp_path / "a", clock=late) as a, AsyncExitStack() as stack:
        metrics = a.network.metrics
        assert math.isnan(metrics.value("arnode_clock_offset_seconds"))
        for name in "bcd":
            await stack.enter_async_context(node(tmp_path / name, bootstrap=[a.network.addresses[0]]))
        await a.until(lambda: not math.isnan(metrics.value("arnode_clock_offset_seconds")))
        assert abs(metrics.value("arnode_clock_offset_seconds") - 90) < 5


def test_gauges_are_looked_up_when_asked_for() -> None:
    metrics = Metrics()
    waiting = [1, 2, 3]
    look_up(metrics.queue, lambda: len(waiting), "events")
    assert metrics.value("arnode_queue_length", queue="events") == 3
    waiting.clear()
    assert metrics.value("arnode_queue_length", queue="events") == 0


def test_two_networks_in_one_process_count_apart() -> None:
    one, other = Metrics(), Metrics()
    one.dropped.inc()
    assert (one.value("arnode_arrivals_dropped_total"), other.value("arnode_arrivals_dropped_total")) == (1, 0)
