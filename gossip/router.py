"""GossipSub's router with what libp2p 0.8.1's gets wrong mended: who is in the mesh, who hears of what.

tests/gossip/test_flood.py shows the symptoms in the bare library, so that a release which mends one is noticed.
"""

import random
from collections import defaultdict
from collections.abc import Iterable
from typing import Final

import trio
from libp2p.peer.id import ID
from libp2p.pubsub.gossipsub import PROTOCOL_ID_V11, GossipSub
from libp2p.pubsub.pb import rpc_pb2
from libp2p.pubsub.utils import safe_bytes_from_hex

from gossip.bucket import Buckets, Rate
from gossip.outgoing import has, offer, piece_of, withdraw

DEGREE: Final = 4
DEGREE_LOW: Final = 3
DEGREE_HIGH: Final = 6
ANNOUNCE_EVERY: Final = 3  # heartbeats
DEGREE_LAZY: Final = 4
ANSWER_BYTES: Final = 512 * 1024
WHOLE: Final = range(DEGREE_LOW, DEGREE_HIGH + 1)
CLEAN_EVERY: Final = 300  # heartbeats; the tables of rates have an entry for each peer and topic at most
CONTROL_BYTES: Final = 64 * 1024
ANSWERS: Final = Rate(burst=4 << 20, per_second=1 << 20)


class Router(GossipSub):
    """GossipSub 1.1 that keeps a mesh whole. Version 1.1 is offered alone: 1.2 doubles the cost by an IDONTWANT each.

    - Symptom: the default heartbeat is 120 s, own messages above 10 per second are dropped as spam, and "adaptive
      gossip" stretches the heartbeat further.
    - Symptom: a full mesh is pruned in the order of a set, which all nodes share: islands form.
    - Symptom: peers in GRAFT backoff get no IHAVE, so what the mesh loses stays lost. And those who get it get every
      message's id in several heartbeats, though they may have announced it themselves. Now DEGREE_LAZY peers outside
      the mesh, of those that have not shown that they know it, get an id, once, in every third heartbeat.
    - Symptom: own messages go to the mesh only, which may be empty in the first seconds.
    - Symptom: a PRUNE of the heartbeat carries no backoff, so the pruned peer comes back at once.
    - Symptom: control messages for topics nobody has here raise KeyError with peer exchange on, and fill tables
      without bound; peers offered in a PRUNE are dialled inside the read loop. Peer exchange is ours (gossip/peers.py).
    - Symptom: forwarding a message makes and copies an RPC for each peer, rebuilds and adds a signed peer record of 200
      bytes to each, scores each peer (with thresholds of minus infinity: in vain), keeps the message for peers who have
      not subscribed yet (who get it again from the cache when they do), and lets a list of recent deliveries grow that
      is never trimmed when adaptive gossip is off.
    - Symptom: an IWANT that names one message twenty thousand times is answered with twenty thousand copies.
    - Symptom: each control message carries the signed peer record, is copied twice and searched for a way to split it.
    - Symptom: a heartbeat that has nothing to do looks through the mesh, the cache and eight tables all the same; each
      RPC is asked five times for what only later versions have, and what an IDONTWANT names is kept though never read.
    """

    def __init__(self, heartbeat: float = 1.0) -> None:
        super().__init__(
            [PROTOCOL_ID_V11],
            degree=DEGREE,
            degree_low=DEGREE_LOW,
            degree_high=DEGREE_HIGH,
            gossip_window=ANNOUNCE_EVERY,
            gossip_history=12,
            heartbeat_interval=heartbeat,  # type: ignore[arg-type]
            adaptive_gossip_enabled=False,
            spam_protection_enabled=False,
            do_px=False,
        )
        self.scorer = None
        self.beats = 0
        self._answers: Buckets[ID] = Buckets(ANSWERS)

    async def heartbeat(self) -> None:
        """The service: `beat` at every interval."""
        await trio.sleep(self.heartbeat_initial_delay)
        while True:
            await self.beat()
            await trio.sleep(self.heartbeat_interval)

    async def beat(self) -> None:
        """One heartbeat: mend the mesh, announce ids, forget what is old. Never waits for anything."""
        if self.has_to_speak():
            graft, prune = self.mesh_heartbeat()
            await self._emit_control_msgs(graft, prune, self.gossip_heartbeat())
        self.grow_older()

    def has_to_speak(self) -> bool:
        """Whether the next heartbeat may have something to say."""
        if not self.is_whole():
            return True
        return self.beats % ANNOUNCE_EVERY == 0 and any(self.mcache.history[:ANNOUNCE_EVERY])

    def is_whole(self) -> bool:
        """Whether the mesh has neither too few nor too many peers, in every topic."""
        return all(map(WHOLE.__contains__, map(len, self.mesh.values())))

    def grow_older(self) -> None:
        """The part of a heartbeat that says nothing."""
        self.beats += 1
        if self.mcache.msgs:
            self.mcache.shift()
        if self.beats % CLEAN_EVERY == 0:
            self._periodic_security_cleanup()

    def _select_peers_for_pruning(self, topic: str, num_to_prune: int) -> list[ID]:
        members = list(self.mesh.get(topic, ()))
        return random.sample(members, max(0, min(num_to_prune, len(members))))

    def _handle_topic_heartbeat(
        self,
        topic: str,
        current_peers: set[ID],
        is_fanout: bool = False,
        peers_to_gossip: defaultdict[ID, dict[str, list[bytes]]] | None = None,
    ) -> tuple[set[ID], bool]:
        if peers_to_gossip is None or self.pubsub is None:
            return super()._handle_topic_heartbeat(topic, current_peers, is_fanout, peers_to_gossip)
        if self.beats % ANNOUNCE_EVERY == 0:
            ids = self.mcache.window(topic)
            outside = self.pubsub.peer_topics.get(topic, set()) - current_peers if ids else set()
            queues = {peer: self.pubsub.peer_queues[peer] for peer in outside if peer in self.pubsub.peer_queues}
            unknown = {peer: [name for name in ids if not has(queue, name)] for peer, queue in queues.items()}
            lacking = [peer for peer, names in unknown.items() if names]
            for peer in random.sample(lacking, min(DEGREE_LAZY, len(lacking))):
                peers_to_gossip[peer][topic] = unknown[peer]
        return current_peers, False

    async def publish(self, msg_forwarder: ID, pubsub_msg: rpc_pb2.Message) -> None:
        """Forward a message that was found good, or send one's own."""
        self.mcache.put(pubsub_msg)
        message_id, piece = pubsub_msg.from_id + pubsub_msg.seqno, piece_of(pubsub_msg)
        queues = {} if self.pubsub is None else self.pubsub.peer_queues
        for peer in self._get_peers_to_send(pubsub_msg.topicIDs, msg_forwarder, ID(pubsub_msg.from_id)):
            if peer in queues:
                offer(queues[peer], message_id, piece)

    def _get_peers_to_send(
        self, topic_ids: Iterable[str], msg_forwarder: ID, origin: ID, msg_id: bytes | None = None
    ) -> Iterable[ID]:
        peers: set[ID] = set()
        for topic in topic_ids:
            peers |= self.mesh.get(topic, set())
            if self.pubsub is not None and msg_forwarder == self.pubsub.my_id:
                peers |= self.pubsub.peer_topics.get(topic, set())
        return peers - {msg_forwarder, origin}

    async def _emit_control_msgs(
        self,
        peers_to_graft: dict[ID, list[str]],
        peers_to_prune: dict[ID, list[str]],
        peers_to_gossip: dict[ID, dict[str, list[bytes]]],
    ) -> None:
        for peer, topics in peers_to_prune.items():
            for topic in topics:
                self._add_back_off(peer, topic, False)
                await self.emit_prune(topic, peer, False, False)
        await super()._emit_control_msgs(peers_to_graft, {}, peers_to_gossip)

    async def handle_rpc(self, rpc: rpc_pb2.RPC, sender_peer_id: ID) -> None:
        control = rpc.control
        for ihave in control.ihave:
            await self.handle_ihave(ihave, sender_peer_id)
        for iwant in control.iwant:
            await self.handle_iwant(iwant, sender_peer_id)
        for graft in control.graft:
            await self.handle_graft(graft, sender_peer_id)
        for prune in control.prune:
            await self.handle_prune(prune, sender_peer_id)

    async def emit_control_message(self, control_msg: rpc_pb2.ControlMessage, to_peer: ID) -> None:
        queue = None if self.pubsub is None else self.pubsub.peer_queues.get(to_peer)
        packet = rpc_pb2.RPC(control=control_msg)
        simple = to_peer not in self._pending_control and packet.ByteSize() < CONTROL_BYTES
        if not simple or queue is None or not queue.push(packet, priority=True):
            await super().emit_control_message(control_msg, to_peer)

    async def handle_graft(self, graft_msg: rpc_pb2.ControlGraft, sender_peer_id: ID) -> None:
        if graft_msg.topicID in self.mesh:
            await super().handle_graft(graft_msg, sender_peer_id)

    async def handle_prune(self, prune_msg: rpc_pb2.ControlPrune, sender_peer_id: ID) -> None:
        if prune_msg.topicID in self.mesh:
            del prune_msg.peers[:]
            prune_msg.backoff = min(prune_msg.backoff, 600)
            await super().handle_prune(prune_msg, sender_peer_id)

    async def handle_ihave(self, ihave_msg: rpc_pb2.ControlIHave, sender_peer_id: ID) -> None:
        if ihave_msg.topicID not in self.mesh or self.pubsub is None:
            return
        named = [message_id for name in ihave_msg.messageIDs if (message_id := safe_bytes_from_hex(name))]
        queue = self.pubsub.peer_queues.get(sender_peer_id)
        if queue is not None:
            for message_id in named:
                withdraw(queue, message_id)
        if self._check_ihave_rate_limit(sender_peer_id, ihave_msg.topicID):
            wanted = [message_id for message_id in named if not self.pubsub.seen_messages.has(message_id)]
            if wanted:
                await self.emit_iwant(wanted, sender_peer_id)

    async def handle_iwant(self, iwant_msg: rpc_pb2.ControlIWant, sender_peer_id: ID) -> None:
        named = list(dict.fromkeys(iwant_msg.messageIDs))
        del iwant_msg.messageIDs[:]
        size = 0
        for name in named:
            message_id = safe_bytes_from_hex(name)
            message = None if message_id is None else self.mcache.get(message_id)
            if message is not None:
                size += message.ByteSize()
                if size > ANSWER_BYTES:
                    break  # what is left out comes by history exchange
                iwant_msg.messageIDs.append(name)
        if size and self._answers.take(sender_peer_id, trio.current_time(), size):
            await super().handle_iwant(iwant_msg, sender_peer_id)
