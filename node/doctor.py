"""`arnode doctor`: what is wrong with this node, its network and its machine, and what to do about it.

It works while a node runs and on every broken state: a check looks and changes nothing, and one that fails itself is a
finding like the others.
"""

import json as jsonlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import asdict
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from gossip.addressbook import BookError, remembered
from gossip.clock import now_ms
from gossip.reasons import reason_of
from gossip.swarmkey import SwarmKey
from node import checkup, reachability, walls
from node.events import printable
from node.finding import Case, Finding
from node.home import Home
from node.llm.checkup import model
from node.membership import Membership, MembershipError, load_membership
from node.running import running_node

Check = Callable[[Case], Iterable[Finding]]

CHECKS: Final[list[Check]] = [
    checkup.software,
    checkup.limits,
    checkup.folder,
    checkup.settings,
    checkup.identity,
    checkup.disk,
    checkup.log,
    checkup.membership,
    checkup.book,
    walls.sandbox,
    model,
    reachability.running,
    reachability.network,
]

MARKS: Final = {"ok": ("✔", "green"), "warning": ("!", "yellow"), "failed": ("✗", "bold red")}
STATUS_WIDTH: Final = 7
CHECK_WIDTH: Final = 9
REMEMBERED_PEERS: Final = 5


def case_of(home: Home, swarm: str | None, bootstrap: Sequence[str], key: SwarmKey | None) -> Case:
    """What to examine: what a person named, else what runs in the state folder or is remembered there."""
    running = running_node(home)
    try:
        known = load_membership(home)
    except (MembershipError, OSError):
        known = Membership()  # `checkup.membership` tells of it
    if swarm not in (None, known.swarm) or key not in (None, known.key):
        known = Membership(swarm or known.swarm, key=key)
    given = tuple(bootstrap) or known.bootstrap
    return Case(home, known.swarm, given, () if bootstrap else _remembered(home, known.swarm), known.key, running)


def _remembered(home: Home, swarm: str) -> tuple[str, ...]:
    try:
        peers = remembered(home.book(swarm), now_ms())
    except BookError:
        return ()  # `checkup.book` tells of it
    return tuple(f"{addresses[0]}/p2p/{peer}" for peer, addresses in peers[:REMEMBERED_PEERS])


def examine(case: Case) -> Iterator[Finding]:
    """Run every check, and give what it finds as it is found."""
    for check in CHECKS:
        try:
            yield from check(case)
        except Exception as error:  # noqa: BLE001 - doctor is for what nobody has thought of
            text = f"this check itself failed: {reason_of(error)}"
            yield Finding(check.__name__, "failed", text, "report this, with the line above")


def show_findings(findings: Iterable[Finding], *, json: bool, console: Console | None = None) -> bool:
    """Print what is found; whether nothing has failed."""
    console = console or Console(markup=False, highlight=False, emoji=False)
    statuses: Counter[str] = Counter()
    waiting = console.status("looking …") if console.is_interactive and not json else nullcontext()
    with waiting:
        for finding in findings:
            statuses[finding.status] += 1
            if json:
                print(jsonlib.dumps(asdict(finding), ensure_ascii=False), flush=True)
            elif console.is_terminal:
                _print_on_terminal(console, finding)
            else:
                print(_plain(finding), flush=True)
    if not json:
        console.print(_summary(statuses), style="default" if statuses["failed"] else "dim")
    return not statuses["failed"]


def _print_on_terminal(console: Console, finding: Finding) -> None:
    mark, style = MARKS[finding.status]
    grid = Table.grid(padding=(0, 1))
    for width in (1, STATUS_WIDTH, CHECK_WIDTH):
        grid.add_column(width=width, no_wrap=True)
    grid.add_column(overflow="fold")
    text = Text(printable(finding.text), "dim" if finding.status == "ok" else "default")
    grid.add_row(Text(mark, style), Text(finding.status, style), Text(finding.check, "bold"), text)
    if finding.advice:
        grid.add_row("", "", "", Text(f"→ {finding.advice}"))
    console.print(grid)
    if finding.command:
        # never wrapped by us, so that it can be copied whole
        console.print(Text(f"{' ' * 4}{finding.command}", "bold cyan"), soft_wrap=True, no_wrap=True, overflow="ignore")


def _plain(finding: Finding) -> str:
    lines = [f"{finding.status:<{STATUS_WIDTH}} {finding.check:<{CHECK_WIDTH}} {printable(finding.text)}"]
    indent = " " * (STATUS_WIDTH + CHECK_WIDTH + 2)
    lines += [f"{indent}-> {line}" for line in (finding.advice, finding.command) if line]
    return "\n".join(lines)


def _summary(statuses: Counter[str]) -> str:
    if not statuses["failed"] and not statuses["warning"]:
        return f"\nall {statuses.total()} checks are fine"
    return f"\n{statuses['failed']} failed, {statuses['warning']} to look at, {statuses['ok']} fine"
