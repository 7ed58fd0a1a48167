"""`arnode join`: open what a node needs, in order, run it, and end it cleanly or start it over."""

import math
import shutil
import signal
from pathlib import Path
from typing import Any, Final, TypeAlias

import trio

from agent.entries import check
from agent.shelves import shelf_of, shelves_of
from gossip.addressbook import AddressBook
from gossip.host import parse_peer_address
from gossip.identity import load_or_create
from gossip.layout import WHOLE, Layout, is_sharded
from gossip.logfile import LogDamaged
from gossip.network import Network, open_network
from gossip.reasons import alone
from node.addresses import default_listen
from node.config import Config, Llm
from node.feed import Feed
from node.home import Home, only_node, remember_task
from node.llm.model import open_model
from node.membership import Wish, load_membership, remember_membership, settle
from node.node import Node
from node.own import OwnRecords
from node.repair import complete, repair_log
from node.share import take_share
from node.state import State, open_state, remembered_task
from trainer.device import require
from trainer.task import built_in_tasks

# what nursery.start passes: trio.TaskStatus[None], which the stubs that libp2p brings along do not know
Started: TypeAlias = Any

REPAIRS_APART: Final = 60.0  # seconds; a log that is damaged again so soon lies on a disk that nobody should trust


def task_reference(home: Home, chosen: str | None) -> str:
    """The task as it is remembered: a built-in name, or an absolute path."""
    reference = chosen or remembered_task(home)
    return reference if reference in built_in_tasks() else str(Path(reference).absolute())


async def join(home: Home, wish: Wish, config: Config, feed: Feed) -> None:
    """Run a node until a limit is reached or a signal comes (SIGINT, SIGTERM, SIGHUP).

    wish: which swarm. A node whose log is damaged repairs it and starts over. Raises the named errors of home, task,
    log, identity and network when it cannot start.
    """
    take_share(config.nice, config.cores)
    deadline = math.inf
    if config.minutes is not None:
        deadline = trio.current_time() + 60 * config.minutes
        feed.ends_in(config.minutes)
    with only_node(home):
        shutil.rmtree(home.workspaces, ignore_errors=True)  # what a killed node left
        repaired_at, repaired = -math.inf, ""
        while True:
            try:
                return await _live(home, wish, config, feed, deadline, repaired)
            except LogDamaged as damage:
                if trio.current_time() - repaired_at < REPAIRS_APART:
                    raise
                repaired_at = trio.current_time()
                repaired = repair_log(home, damage)


async def _live(home: Home, wish: Wish, config: Config, feed: Feed, deadline: float, repaired: str) -> None:
    """Run a node. `repaired`: what the person has to know about its log. Raises LogDamaged."""
    reference = task_reference(home, config.task)
    with open_state(home, reference, writing=True) as state:
        if config.research:
            require(state.task.name, state.task.devices)
        remember_task(home, reference)
        known = load_membership(home)
        membership = settle(known, wish, str(home.folder))
        for address in membership.bootstrap:
            parse_peer_address(address)
        if membership != known:
            remember_membership(home, membership)  # before any record of a private swarm can arrive
        identity = load_or_create(home.identity)
        own = OwnRecords(home.own)
        repaired += complete(state, own)
        async with (
            open_model(config.llm if config.research else Llm(), home.spending) as model,
            open_network(
                identity,
                state.log,
                swarm=membership.swarm,
                listen=config.listen or default_listen(),
                bootstrap=membership.bootstrap,
                key=membership.key,
                check=check,
                book=AddressBook(home.book(membership.swarm)),
                lan=config.lan,
                archive=config.keeps_all,
                layout=layout_of(membership.swarm, state),
            ) as network,
        ):
            node = Node(state, identity, own, network, feed, config, membership, deadline, model)
            try:
                async with trio.open_nursery() as nursery:
                    await nursery.start(_stop_on_signal, nursery.cancel_scope)
                    nursery.start_soon(_stop_on_damage, network)
                    if repaired:
                        node.trouble("log", repaired.strip())
                    await node.run()
                    nursery.cancel_scope.cancel()
            except BaseExceptionGroup as group:
                raise alone(group)  # noqa: B904 - the same error without its wrapping
            node.summary()


def layout_of(swarm: str, state: State) -> Layout:
    """How the swarm's records are laid out, and what of them this node keeps."""
    if not is_sharded(swarm):
        return WHOLE
    return Layout(shelves_of(state.task.fingerprint, state.device.device_class), shelf_of)


async def _stop_on_signal(scope: trio.CancelScope, task_status: Started = trio.TASK_STATUS_IGNORED) -> None:
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as signals:
        task_status.started()
        async for _ in signals:
            scope.cancel()
            return


async def _stop_on_damage(network: Network) -> None:
    await network.storage.damaged.wait()
    raise network.storage.why or LogDamaged("the log is damaged")
