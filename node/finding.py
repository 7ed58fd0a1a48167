"""What `arnode doctor` finds: one line about one thing, and what to do about it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from gossip.swarmkey import SwarmKey
from node.home import Home
from node.running import Running

Status = Literal["ok", "warning", "failed"]


@dataclass(frozen=True)
class Finding:
    """check: what was looked at; text: what is so; advice: what to do; command: the one to paste, if there is one."""

    check: str
    status: Status
    text: str
    advice: str = ""
    command: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Case:
    """What is examined.

    bootstrap: addresses that a person gave; remembered: of peers that were met; running: the node that runs here. llm:
    flags about a language model, by setting; ask_model: whether to ask it something small.
    """

    home: Home
    swarm: str = "main"
    bootstrap: tuple[str, ...] = ()
    remembered: tuple[str, ...] = ()
    key: SwarmKey | None = None
    running: Running | None = None
    llm: Mapping[str, object] = field(default_factory=dict)
    ask_model: bool = False
