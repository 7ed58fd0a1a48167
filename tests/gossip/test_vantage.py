"""What a node announces, by what its peers could dial."""

from hypothesis import given
from hypothesis import strategies as st
from multiaddr import Multiaddr

from gossip.reach import Dialable
from gossip.vantage import Findings

HERE, PUBLIC, HOME = "/ip4/127.0.0.1/tcp/1", "/ip4/8.8.8.8/tcp/1", "/ip4/192.168.7.2/tcp/1"
OWN = [Multiaddr(HOME), Multiaddr(HERE)]


def texts(findings: Findings) -> list[str]:
    return [str(address) for address in findings.announced(OWN)]


def test_an_address_seen_from_outside_is_announced_only_when_it_was_dialled_and_then_first() -> None:
    findings = Findings()
    findings.note("a", Dialable(PUBLIC, "no TCP connection"))
    assert texts(findings) == [HOME, HERE]
    findings.note("b", Dialable(PUBLIC))
    assert texts(findings) == [PUBLIC, HOME, HERE]


def test_one_failure_proves_nothing_and_two_peers_do() -> None:
    findings = Findings()
    findings.note("a", Dialable(PUBLIC))
    for _ in range(3):
        findings.note("liar", Dialable(PUBLIC, "no"))
        findings.note("liar", Dialable(HOME, "no"))
    assert texts(findings) == [PUBLIC, HOME, HERE]
    findings.note("b", Dialable(PUBLIC, "no"))
    findings.note("b", Dialable(HOME, "no"))
    assert texts(findings) == [HERE]
    findings.note("b", Dialable(HERE, "no"))
    findings.note("c", Dialable(HERE, "no"))
    assert texts(findings) == [HOME, HERE]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 99), st.booleans())))
def test_something_is_always_announced_each_once(said: list[tuple[str, int, bool]]) -> None:
    findings = Findings()
    for witness, port, good in said:
        findings.note(witness, Dialable(f"/ip4/192.168.7.2/tcp/{port}", "" if good else "no"))
    announced = texts(findings)
    assert announced
    assert len(set(announced)) == len(announced)
