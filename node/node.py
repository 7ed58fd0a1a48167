"""A running node: the network, the log and the research loop in one nursery.

Every background task is supervised: one that fails is told in the feed and started again; none takes the node along.
"""

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

import psutil
import trio

from agent.entries import NO_TASK, Entry, Presence, Profile, Result, kept, read, write
from agent.retention import rule
from gossip.clock import now_ms
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
from gossip.host import author_of
from gossip.identity import Identity
from gossip.network import Network
from gossip.record import Record
from gossip.stamp import Stamps
from gossip.supervise import supervise
from node.addresses import join_line
from node.config import Config
from node.events import Event, count, mean_values, value_text
from node.feed import Feed
from node.home import data_cache
from node.ideas import keep_publishing
from node.llm.model import Model
from node.membership import Membership
from node.outbox import Outbox
from node.own import OwnRecords
from node.research import Research
from node.retention import Retention
from node.running import announced
from node.state import State, remembered_task
from node.trials import Trials, sandbox_or_none
from node.view.live import Live
from trainer.data import prepare_data
from trainer.device import cards_of, own_cores
from trainer.slots import plan_slots
from trainer.trial import Progress
from trainer.worker import open_worker, pays

HISTORY_MS: Final = 10 * 60 * 1000


class Node:
    """A node from its opening to its summary. deadline: by trio's clock, seconds; model: None for the search alone."""

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
            until=config.until,
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
        keep_days = math.inf if config.keeps_all else config.keep_days
        self.retention = Retention(
            state.log, lambda: rule(state.notebook), network.forget, self._note, keep_days, network.layout
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
                ("forgetting", self.retention.run),
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
                case SyncFinished(peer, received, sent, _, archived):
                    self.retention.archived(archived)
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
        if not isinstance(presence, Presence):
            return
        self.research.claims.hear(record.author, record.task, presence)
        if record.task == self.state.task.fingerprint:
            self.live.heard(record.author, record.time_ms, presence)

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
