"""Doctor's checks of the network: each bootstrap address, whether peers can dial this machine, and the clocks."""

import socket
import statistics
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import replace
from shlex import quote
from typing import Final

import trio
from prometheus_client.parser import text_string_to_metric_families

from gossip.clock import WRONG_MS
from gossip.frames import ConversationError
from gossip.host import ListenError
from gossip.probe import Outcome, Probed, dialback, probe
from gossip.reach import Dialable
from node.events import printable
from node.finding import Case, Finding, Status
from node.names import NameRefused, clean_swarm

PORT: Final = 4477
DIALBACK_PEERS: Final = 2
DIALBACK_SECONDS: Final = 30.0
SCRAPE_SECONDS: Final = 3.0
CLOCK_OFF_MS: Final = 5_000

# outcome: (what is so, what to do); {told} is what the probe was told
ANSWERS: Final[dict[Outcome, tuple[str, str]]] = {
    "bad_address": (
        "this is not a peer's address",
        "paste the whole line that the other node printed: /ip4/ADDRESS/tcp/PORT/p2p/ID",
    ),
    "name": (
        "{told}",
        "check the spelling, and that this machine can look up names at all",
    ),
    "refused": (
        "the machine answers, but nothing listens on that port",
        "start the node there, or take the address that it prints now: its port may have changed",
    ),
    "timeout": (
        "no answer at all",
        "the machine is off, the address has changed, or a firewall drops the connection: open its TCP port there",
    ),
    "no_route": (
        "there is no way to that address ({told})",
        "is this machine online, and the address one that it can reach?",
    ),
    "network": ("TCP fails: {told}", "ask whoever runs the network between"),
    "silent": (
        "something accepts the connection and then says nothing",
        "the node there hangs, or another program has that port",
    ),
    "closed": (
        "the connection is ended by the other side",
        "it may be full, or has shut this address out for ten minutes: try again later",
    ),
    "not_libp2p": ("another program has that port; it says: {told}", "check the port in the address"),
    "private": (
        "what answers there cannot be read: a private swarm with another key, or another program",
        "give the swarm's key with --swarm-key FILE",
    ),
    "public": ("the node there has no swarm key, and one was given", "leave the key out, or take another address"),
    "noise": ("the encrypted handshake (Noise) fails: {told}", "the other side is no current libp2p node: upgrade it"),
    "wrong_peer": (
        "another node answers there: {told}",
        "if you trust it, put this id at the end of the address; the node there may have a new identity",
    ),
    "not_arnode": ("it speaks libp2p but is no arnode ({told})", "check the address"),
    "other_swarm": ("a node of swarm {told!r} answers", "join that swarm, or take another address"),
    "other_version": (
        "it speaks version {told} of the protocol, and this node another",
        "upgrade the older of the two",
    ),
    "busy": ("reachable, but busy; a node tries again by itself", ""),
    "fine": ("reachable", ""),
}


def running(case: Case) -> Iterator[Finding]:
    """The node that runs with this state folder, and how many peers it has."""
    node = case.running
    if node is None:
        yield _port()
        return
    data = {"pid": node.pid, "swarm": node.swarm, "addresses": list(node.addresses), "url": node.url}
    text = f"runs as process {node.pid} in swarm {node.swarm}"
    if node.url is None:
        yield Finding("node", "ok", text, data=data)
        return
    try:
        peers = _peers_of(node.url)
    except (OSError, ValueError, urllib.error.URLError) as error:
        text += f", but its local server {node.url} does not answer ({error})"
        yield Finding("node", "warning", text, "if it hangs, stop it and start it again", f"kill {node.pid}", data)
        return
    data["peers"] = peers
    if peers:
        yield Finding("node", "ok", f"{text} with {peers:.0f} peers", data=data)
    else:
        advice = "normal for the first node; else name one that runs with --bootstrap when joining"
        yield Finding("node", "warning", f"{text}, and no peer is connected", advice, data=data)


def _peers_of(url: str) -> float:
    with urllib.request.urlopen(f"{url}/metrics", timeout=SCRAPE_SECONDS) as answer:
        text = answer.read().decode()
    families = text_string_to_metric_families(text)
    return sum(sample.value for family in families if family.name == "arnode_peers" for sample in family.samples)


def _port() -> Finding:
    with socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind(("0.0.0.0", PORT))
        except OSError as error:
            text = f"port {PORT}, where a node listens, cannot be had: {error.strerror}"
            advice = "a node then takes any free port, another at each start; see who has it, or choose with --listen"
            return Finding("port", "warning", text, advice, f"ss -ltnp 'sport = :{PORT}'")
    return Finding("port", "ok", f"no node runs here, and port {PORT} is free for one")


def network(case: Case) -> Iterator[Finding]:
    """Every bootstrap address, then what the peers that answer say of this machine."""
    if not case.bootstrap and not case.remembered:
        yield Finding("bootstrap", "ok", "no address is known, so none is tried: name one with --bootstrap ADDR")
        return
    probed = trio.run(_probe_all, case)
    for one in probed:
        found = bootstrap_finding(one)
        if one.address not in case.bootstrap:  # peers come and go, and one of them is enough
            found = replace(found, check="peer", status="warning" if found.status == "failed" else found.status)
        yield found
    if not any(one.outcome in ("fine", "busy") for one in probed) and not case.bootstrap:
        advice = "name one that runs with --bootstrap; if none does, wait for it: a running node goes on trying"
        yield Finding("peers", "failed", "no peer that was ever met can be reached", advice)
    yield from clock_finding([one.offset_ms for one in probed if one.offset_ms is not None])
    yield from trio.run(_dialable, case, [one.address for one in probed if one.outcome == "fine"])


async def _probe_all(case: Case) -> list[Probed]:
    addresses = list(dict.fromkeys((*case.bootstrap, *case.remembered)))
    found: dict[str, Probed] = {}

    async def one(address: str) -> None:
        found[address] = await probe(address, case.swarm, case.key)

    async with trio.open_nursery() as nursery:
        for address in addresses:
            nursery.start_soon(one, address)
    return [found[address] for address in addresses]


def bootstrap_finding(probed: Probed) -> Finding:
    """What a probe's outcome means. Pure."""
    text, advice = ANSWERS[probed.outcome]
    told = printable(probed.told)
    status: Status = {"fine": "ok", "busy": "warning"}.get(probed.outcome, "failed")  # type: ignore[assignment]
    text = text.format(told=told)
    if probed.outcome == "fine":
        text += f" in {probed.round_trip_ms:.0f} ms" if probed.round_trip_ms is not None else ""
        text += f", {printable(probed.agent)}" if probed.agent else ""
    data = {
        "address": probed.address,
        "outcome": probed.outcome,
        "told": probed.told,
        "agent": probed.agent,
        "round_trip_ms": probed.round_trip_ms,
        "offset_ms": probed.offset_ms,
    }
    command = ""
    if probed.outcome == "wrong_peer":
        command = f"arnode doctor --bootstrap {quote(probed.address.rpartition('/')[0] + '/' + told)}"
    elif probed.outcome == "other_swarm" and _is_swarm_name(probed.told):
        command = f"arnode join --swarm {probed.told} --bootstrap {quote(probed.address)}"
    return Finding("bootstrap", status, f"{_short(probed.address)}: {text}", advice, command, data)


def _is_swarm_name(text: str) -> bool:
    """Whether a stranger's word is a name and nothing else, so that it may stand in a command."""
    try:
        clean_swarm(text)
    except NameRefused:
        return False
    return True


def clock_finding(offsets_ms: Sequence[float]) -> Iterator[Finding]:
    """What the peers' clocks say of this one. Pure. offsets_ms: theirs minus this one, milliseconds."""
    if not offsets_ms:
        return
    median = statistics.median(offsets_ms)
    data = {"offset_ms": median, "peers": len(offsets_ms)}
    seconds = abs(median) / 1000
    text = f"{_duration(seconds)} {'behind' if median > 0 else 'ahead of'} the peers (median of {len(offsets_ms)})"
    if abs(median) < CLOCK_OFF_MS:
        yield Finding("clock", "ok", f"within {max(0.1, seconds):.1f} s of the peers'", data=data)
        return
    status: Status = "warning" if abs(median) < WRONG_MS else "failed"
    advice = (
        "peers refuse what comes from the future, until it is none: let the system set its clock (this is for Linux)"
    )
    yield Finding("clock", status, f"this machine's clock is {text}", advice, "sudo timedatectl set-ntp true", data)


async def _dialable(case: Case, peers: Sequence[str]) -> list[Finding]:
    if not peers:
        return [Finding("dialable", "warning", "unknown, since no peer could be asked to dial this machine")]
    own = [address.split("/") for address in case.running.addresses] if case.running else []
    port = int(own[0][4]) if own else PORT
    listen = () if own else (f"/ip4/0.0.0.0/tcp/{port}",)
    why = "nobody had time to try"
    for address in peers[:DIALBACK_PEERS]:
        try:
            with trio.fail_after(DIALBACK_SECONDS):
                answer = await dialback(address, port, case.key, listen)
        except ListenError as error:
            return [Finding("dialable", "warning", f"unknown: {error}")]
        except (ConversationError, trio.TooSlowError) as error:
            why = str(error) or "no answer"
            continue
        return [dialable_finding(answer, port, running=bool(own))]
    return [Finding("dialable", "warning", f"unknown: {why}", "try again in a minute")]


def dialable_finding(answer: Dialable, port: int, *, running: bool) -> Finding:
    """What a peer's attempt to dial this machine means. Pure.

    running: whether the port is that of a node that runs here. The peer looks for doctor's own id there, so that it
    finds another one is as good as that it gets through.
    """
    where = answer.address.split("/")[2]
    data = {"address": answer.address, "failure": answer.failure}
    if not answer.failure or (running and answer.failure.startswith("TCP connects")):
        text = f"yes: a peer got through to port {port} at {where}"
        return Finding("dialable", "ok", text, data=data)
    text = f"a peer cannot dial port {port} at {where}: {printable(answer.failure)}"
    advice = (
        "the node works all the same, by dialling out; to be dialable, forward this TCP port to this machine "
        "in the router, and open it in the firewall"
    )
    return Finding("dialable", "warning", text, advice, data=data)


def _short(address: str) -> str:
    """`10.0.0.1:4477 …aT8UxCjA`: enough to recognise an address by; the whole of what is none."""
    parts = address.split("/")
    if len(parts) < 7:
        return printable(address[:60])
    host = f"[{parts[2]}]" if ":" in parts[2] else parts[2]
    return printable(f"{host}:{parts[4]} …{parts[6][-8:]}")


def _duration(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 120 else f"{seconds / 60:.0f} minutes"
