"""`arnode invite`: all that another machine needs to join this node's swarm, as one text and as a QR code."""

import io
import ipaddress
import json
import shutil
import sys
import time
from collections.abc import Sequence
from datetime import datetime
from typing import Final

import segno
from rich.console import Console
from rich.text import Text

from gossip.invite import Invite, encode
from node.events import count
from node.home import Home
from node.membership import load_membership
from node.running import running_node

OWN_ADDRESSES: Final = 2
OTHER_ADDRESSES: Final = 1
MAX_HOURS: Final = 24 * 365
BORDER: Final = 2


class InviteRefused(Exception):
    """No invite can be made here; the message says why and what to do."""


def make_invite(home: Home, hours: float, now: float) -> tuple[Invite, list[str]]:
    """An invite to the swarm of this folder, good for so many hours, and notes for the person. now: s since 1970.

    It names the running node's most reachable addresses, and another peer's, in case this node is off one day. Raises
    InviteRefused, MembershipError.
    """
    if not 0 < hours <= MAX_HOURS:
        raise InviteRefused(f"an invite is good for more than 0 and at most {MAX_HOURS} hours")
    membership = load_membership(home)
    node = running_node(home)
    own = worth_telling(node.addresses) if node else []
    others = [address for address in membership.bootstrap if address not in own]
    notes = []
    if node is None:
        if not others:
            raise InviteRefused(
                f"no node runs with {home.folder}, and no peer is remembered there, so nobody would answer: "
                "start one with `arnode join`, then run this in a second terminal"
            )
        notes.append("No node runs here: the invite names only the peers that were joined through.")
    chosen = own[:OWN_ADDRESSES] + others[: OTHER_ADDRESSES if own else OWN_ADDRESSES]
    nearness = max(map(reach, chosen))
    if nearness < 2:
        where = "this machine" if nearness == 0 else "the same local network"
        notes.append(f"Its addresses can be reached from {where} only.")
    return Invite(membership.swarm, tuple(chosen), membership.key, int(now + 3600 * hours)), notes


def worth_telling(addresses: Sequence[str]) -> list[str]:
    """Addresses from the farthest reaching to the nearest; loopback only where there is nothing else."""
    farthest = sorted(addresses, key=reach, reverse=True)
    return [address for address in farthest if reach(address) > 0] or farthest


def reach(address: str) -> int:
    """From where an address can be reached: 2 anywhere, as far as one can tell, 1 the same network, 0 this machine."""
    _, protocol, host, *_ = address.split("/")
    if protocol not in ("ip4", "ip6"):
        return 0 if host == "localhost" else 2
    ip = ipaddress.ip_address(host)
    return 0 if ip.is_loopback else 1 if ip.is_private else 2


def show_invite(home: Home, hours: float, *, as_json: bool) -> None:
    """Print an invite: the text, alone where the output goes into a file or pipe, else with its QR code."""
    invite, notes = make_invite(home, hours, time.time())
    text = encode(invite)
    if as_json:
        found = {"invite": text, "swarm": invite.swarm, "private": invite.key is not None, "expires": invite.expires}
        print(json.dumps(found | {"bootstrap": invite.bootstrap, "notes": notes}))
        return
    if sys.stdout.isatty():
        _show_code(text)
    print(text, flush=True)
    for line in ["", *_explanation(invite, hours), *notes]:
        print(line, file=sys.stderr)


def _explanation(invite: Invite, hours: float) -> list[str]:
    until = datetime.fromtimestamp(invite.expires).astimezone().strftime("%a %d %b %Y %H:%M %Z")
    lasts = count(round(hours), "hour") if hours >= 1 else count(round(60 * hours), "minute")
    lines = [
        "Join with: arnode join --invite TEXT",
        f"It takes a node to swarm {invite.swarm} and is good for {lasts}, until {until}.",
    ]
    if invite.key is not None:
        lines += [
            f"The swarm is private (key {invite.key.fingerprint}). Whoever has this text holds its key, and can",
            "join, read and publish, whatever the date: send it as you would a password.",
        ]
    return lines


def _show_code(text: str) -> None:
    """A QR code in half blocks, where the terminal can show it whole."""
    console = Console(highlight=False)
    code = segno.make_qr(text.upper(), error="l", boost_error=False)
    width, _ = code.symbol_size(border=BORDER)
    if console.encoding.lower().replace("-", "") != "utf8" or shutil.get_terminal_size().columns < width:
        return
    drawn = io.StringIO()
    code.terminal(drawn, border=BORDER, compact=True)
    for line in drawn.getvalue().splitlines():
        # light on dark in every colour scheme: the block characters are the light modules
        console.print(Text(line, style="bright_white on black"), no_wrap=True, soft_wrap=True)
