"""Where a node listens, and the line that lets another machine join it."""

import socket
from collections.abc import Sequence
from typing import Final

from node.membership import DEFAULT_SWARM, Membership
from node.state import DEFAULT_TASK
from trainer.task import built_in_tasks

PORT: Final = 4477


def default_listen() -> list[str]:
    """Port PORT on every interface, so that the line to paste stays the same; a free port where that one is taken."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("0.0.0.0", PORT))
        except OSError:
            return ["/ip4/0.0.0.0/tcp/0"]
    return [f"/ip4/0.0.0.0/tcp/{PORT}"]


def reachable_first(addresses: Sequence[str]) -> str:
    """The address to give to another machine: not a loopback one where there is a choice."""
    return next((address for address in addresses if "/127." not in address and "/::1/" not in address), addresses[0])


def join_line(addresses: Sequence[str], membership: Membership, task: str) -> str:
    """The command to paste on a second machine. task: this node's, as it is remembered."""
    chosen = "" if membership.swarm == DEFAULT_SWARM else f" --swarm {membership.swarm}"
    key = "" if membership.key is None else " --swarm-key FILE"
    if task != DEFAULT_TASK:
        chosen += f" --task {task if task in built_in_tasks() else 'FOLDER'}"
    return f"arnode join --bootstrap {reachable_first(addresses)}{chosen}{key}"
