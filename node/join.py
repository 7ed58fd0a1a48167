"""A running node: the network, the log and the research loop in one nursery.

Every background task is supervised: one that fails is told in the feed and started again; none takes the node along.
"""

import math
import shutil
import signal
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeAlias

import psutil
import trio

from agent.claims import Claim
from agent.entries import NO_TASK, Entry, Presence, Profile, Result, check, kept, read, write
from gossip.addressbook import AddressBook
from gossip.events import (
    Contradicted,
    Notice,
    Peer,
    PeerConnected,
    PeerLost,
    PeerRejected,
    PresenceArrived,
    RecordArrived,
    SyncFinished,
    Trouble,
)
from gossip.host import author_of, parse_peer_address
from gossip.identity import Identity, load_or_create
from gossip.log import LogDamaged
from gossip.network import Network, now_ms, open_network
from gossip.record import Record
from gossip.stamp import Stamps
from gossip.supervise import alone, supervise
from node.config import Config, Llm
from node.events import Event, count, mean_values, value_text
from node.feed import Feed
from node.home import Home, data_cache, only_node, remember_task
from node.ideas import keep_publishing
from node.llm.model import Model, open_model
from node.membership import DEFAULT_SWARM, Membership, Wish, load_membership, remember_membership, settle
from node.outbox import Outbox
from node.own import OwnRecords
from node.repair import complete, repair_log
from node.research import Research
from node.running import announced
from node.share import take_share
from node.state import DEFAULT_TASK, State, open_state, remembered_task
from node.trials import Trials, sandbox_or_none
from node.view.live import Live
from trainer.data import prepare_data
from trainer.device import cards_of, own_cores, require
from trainer.slots import plan_slots
from trainer.task import built_in_tasks
from trainer.trial import Progress
from trainer.worker import open_worker, pays

# what nursery.start passes: trio.TaskStatus[None], which the stubs that libp2p brings along do not know
Started: TypeAlias = Any

PORT: Final = 4477
HISTORY_MS: Final = 10 * 60 * 1000
REPAIRS_APART: Final = 60.0  # seconds; a log that is damaged again so soon lies on a disk that nobody should trust


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
            ) as network,
        ):
            node = _Node(state, identity, own, network, feed, config, membership, deadline, model)
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


async def _stop_on_signal(scope: trio.CancelScope, task_status: Started = trio.TASK_STATUS_IGNORED) -> None:
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as signals:
        task_status.started()
        async for _ in signals:
            scope.cancel()
            return


async def _stop_on_damage(network: Network) -> None:
    await network.storage.damaged.wait()
    raise network.storage.why or LogDamaged("the log is damaged")


class _Node:
    def __init__(
        self,
        state: State,
        identity: Identity,
        own: OwnRecords,
        network: Network,
        feed: Feed,
        config: Config,
        membership: Membership,
        deadline: float,
        model: Model | None,
    ) -> None:
        self.state = state
        self.network = network
        self.feed = feed
        self.config = config
        self.membership = membership
        self.identity = identity
        self.stamps = Stamps(state.log.times_of(state.me))
        self.profile = state.notebook.profile(state.me)
        self.alias = config.alias or state.alias(state.me)
        self.outbox = Outbox(network.storage, own, self._tell, network.publish)
        self.deadline = deadline
        self.live = Live(
            swarm=membership.swarm,
            private=membership.key is not None,
            research=config.research,
            started_ms=now_ms(),
            peers=network.peers,
            mesh=network.mesh_size,
            done=lambda: self.research.experiments,
            experiments_wanted=config.experiments,
            ends_ms=None if deadline == math.inf else now_ms() + int(1000 * (deadline - trio.current_time())),
        )
        self.research = Research(
            state=state,
            publish=self.publish,
            announce=self._announce,
            show=self._show,
            progress=self._progress,
            alias=self.alias,
            model=model,
            experiments_wanted=config.experiments,
            until=config.until,
            deadline=deadline,
        )
        self.kept = 0
        self.adopted = 0

    async def run(self) -> None:
        async with self._local_server() as url:
            self._listening(url)
            if self.config.research:
                await self._introduce()
            await self._work()

    @asynccontextmanager
    async def _local_server(self) -> AsyncIterator[str | None]:
        swarm, network = self.membership.swarm, self.network
        tell = partial(announced, self.state.home, swarm=swarm, addresses=network.addresses, report=self.trouble)
        if not self.config.serves:
            with tell(url=None):
                yield None
            return
        from node.server import application, local_server  # not needed by every node
        from node.web import page
        from node.web.api import Api

        app = application(network.metrics.text, [*page.routes(), *Api(self.state, self.live).routes()])
        async with local_server(self.config.http, app, self.trouble) as url:
            with tell(url=url):
                yield url

    async def _work(self) -> None:
        async with trio.open_nursery() as nursery:
            for name, run in (
                ("network events", self._hear),
                ("own records", self.outbox.run),
                ("proposals", partial(keep_publishing, self.state, self.publish)),
                ("presence", self.research.claims.keep_saying),
            ):
                nursery.start_soon(supervise, name, run, self.trouble)
            if self.config.research:
                await supervise("research", self._do_research, self.trouble)
            else:
                await trio.sleep_until(self.deadline)
            nursery.cancel_scope.cancel()

    def show(self, kind: str, **data: object) -> None:
        self._show(Event(kind, now_ms(), self.alias, True, data))  # type: ignore[arg-type]

    def _show(self, event: Event) -> None:
        self.feed.show(event)
        self.live.tell(event)

    def _note(self, text: str) -> None:
        self.show("note", text=text)

    def trouble(self, what: str, why: str) -> None:
        self.show("trouble", what=what, why=why)

    def _listening(self, url: str | None) -> None:
        addresses = list(self.network.addresses)
        self.show(
            "listening",
            addresses=addresses,
            join=join_line(addresses, self.membership, remembered_task(self.state.home)),
            task=self.state.task.name,
            swarm=self.membership.swarm,
            private=self.membership.key is not None,
            research=self.config.research,
            author=self.state.me.hex(),
            url=url,
        )

    async def _introduce(self) -> None:
        device = self.state.device
        profile = Profile(
            alias=self.alias, device_class=device.device_class, device=device.name, software=device.software
        )
        if profile != self.profile:
            await self.publish(profile)

    async def publish(self, entry: Entry) -> None:
        """Sign, store, tell. The record is on disk before any peer hears of it."""
        task = NO_TASK if isinstance(entry, Profile) else self.state.task.fingerprint
        record = write(self.identity, task, self.stamps.next(now_ms()), entry)
        if isinstance(entry, Result) and kept(entry.verdict):
            self.adopted += entry.replicates is not None
            self.kept += entry.replicates is None
        await self.outbox.put(record)

    def _tell(self, record: Record) -> None:
        """Take a record in, and show it unless it is history, which `arnode feed` shows."""
        told = self.state.take(record)
        if record.time_ms > now_ms() - HISTORY_MS:
            for event in told:
                self._show(event)
        else:
            self.live.changed()

    async def _announce(self, presence: Presence) -> None:
        self.live.activity = presence.activity
        time_ms = self.stamps.next(now_ms())
        await self.network.announce(write(self.identity, self.state.task.fingerprint, time_ms, presence))

    async def _hear(self) -> None:
        async for event in self.network.events:
            match event:
                case RecordArrived(record):
                    self._tell(record)
                case PresenceArrived(record):
                    self._note_claim(record)
                case PeerConnected(peer):
                    self._peer("connected", peer)
                case PeerLost(peer):
                    self._peer("lost", peer)
                case SyncFinished(peer, received, sent):
                    self.show("sync", peer=peer, received=received, sent=sent)
                case PeerRejected(peer, reason, count):
                    self.trouble(f"peer {peer[-8:]} is shut out for a while after {count} offences", reason)
                case Contradicted(author, time_ms):
                    self.trouble(
                        f"{self.state.alias(author)} contradicts itself",
                        f"two different records are signed for the millisecond {time_ms}: two nodes with one identity, "
                        "or a node that says one thing here and another there; it is heard less from now on",
                    )
                case Trouble(what, why):
                    self.trouble(what, why)
                case Notice(text):
                    self.show("note", text=text)

    def _peer(self, state: str, peer: Peer) -> None:
        author = author_of(peer.peer)
        alias = self.state.alias(author) if self.state.notebook.profile(author) else ""
        self.show("peer", state=state, address=peer.address, peer=peer.peer, alias=alias)

    def _note_claim(self, record: Record) -> None:
        presence = read(record)
        if isinstance(presence, Presence) and record.task == self.state.task.fingerprint:
            self.live.heard(record.author, record.time_ms, presence)
            self.research.claims.note(Claim(record.author, presence.claim, presence.expires_ms, presence.hypothesis))

    async def _do_research(self) -> None:
        state, home = self.state, self.state.home
        sandbox = await sandbox_or_none(self._note)
        data = await prepare_data(state.task, data_cache(), on_note=self._note)
        free_mb = psutil.virtual_memory().available / 1e6
        slots = plan_slots(own_cores(), free_mb, state.task.limits, cards_of(state.device))
        if len(slots) > 1:
            self._note(f"{len(slots)} trials at a time, each with {len(slots[0].cores)} cores of its own")
        try:
            async with open_worker(state.task, sandbox if pays(state.task) else None, data) as worker:
                with Trials(
                    state.task,
                    state.device,
                    store=home.trials,
                    workspaces=home.workspaces,
                    data=data,
                    trouble=self.trouble,
                    sandbox=sandbox,
                    worker=worker,
                    slots=slots,
                    peers_code=self.config.accept_code == "sandbox",
                ) as trials:
                    await self.research.run(trials)
        finally:
            self.feed.idle()

    def _progress(self, label: str, progress: Progress | None) -> None:
        if progress is None:
            self.feed.progress_ended()
            self.live.trial_ended()
        else:
            self.feed.progress(label, progress.fraction, progress.loss, progress.tokens_per_second)
            self.live.progress(label, progress, now_ms())

    def summary(self) -> None:
        if self.outbox.waiting:
            lost = count(self.outbox.waiting, "own record")
            self.trouble("storing", f"the node ends while nothing could be stored: {lost} are lost")
        if not self.config.research:
            self.show("stopped", text=f"{count(self.state.log.count(), 'record')} in the log", research=False)
            return
        experiments = self.research.experiments
        text = f"{count(experiments, 'experiment')}, {count(self.kept, 'discovery')}, {self.adopted} adopted from peers"
        best = self.state.notebook.best_result()
        value = mean_values(best.pairs)[0] if best else None
        if value is not None:
            text += f"; best {self.state.task.metric.name} {value_text(value)}"
        self.show(
            "stopped", text=text, experiments=experiments, discoveries=self.kept, adoptions=self.adopted, best=value
        )
