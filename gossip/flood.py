"""What libp2p 0.8.1's GossipSub gets wrong, mended in one place; the router is gossip/router.py, the host
gossip/upstream.py.

Each class and function here says which symptom it removes; tests/gossip/test_flood.py shows the symptoms in the bare
library, so that a release which mends one is noticed and its part of this module can go. Nothing here is about records:
what a message means is decided by the two callables given to `Flood`.
"""

import math
import random
import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, Final, Generic, TypeVar

import trio
from libp2p.abc import INetStream
from libp2p.exceptions import BaseLibp2pError, ParseError
from libp2p.host.basic_host import BasicHost
from libp2p.io.exceptions import MessageTooLarge
from libp2p.network.stream.exceptions import StreamEOF, StreamReset
from libp2p.network.stream.net_stream import NetStream
from libp2p.peer.id import ID
from libp2p.peer.peerstore import env_to_send_in_RPC
from libp2p.pubsub import gossipsub, pubsub
from libp2p.pubsub.gossipsub import GossipSub
from libp2p.pubsub.pb import rpc_pb2
from libp2p.pubsub.pubsub import Pubsub
from libp2p.pubsub.rpc_queue import RpcQueue
from libp2p.pubsub.utils import maybe_consume_signed_record
from libp2p.pubsub.validators import PUBSUB_SIGNING_PREFIX
from nacl.bindings import crypto_sign_open
from nacl.exceptions import CryptoError

from gossip.bucket import Bucket, Buckets, Rate
from gossip.identity import ED25519_PREFIX
from gossip.incoming import MAX_SUBSCRIPTIONS, Frames, pieces_of
from gossip.outgoing import Outgoing, framed, linger_seconds, wake, withdraw
from gossip.upstream import reset

Read = TypeVar("Read")  # what a message says, once it is read

MAX_RPC_BYTES: Final = 1 << 20
SEQNO_BYTES: Final = 8
KEY_BYTES: Final = 32
ENVELOPE_BYTES: Final = 512
SEEN_SECONDS: Final = 120  # a record that comes again later is known by its id (gossip/intake.py)
OWN_RECORD_SECONDS: Final = 5.0
MAX_CACHED_RECORDS: Final = 2000


# What one peer may send: a message, a control entry, IDS_A_PIECE ids or PIECE_BYTES are one piece. An honest peer in a
# swarm with 100 records a second sends a few hundred pieces a second; who sends more is read more slowly. CHECKS are
# the messages of one peer that are new and worth a signature check; what is above is left to history exchange.
PIECES: Final = Rate(burst=2000, per_second=1000)
CHECKS: Final = Rate(burst=1000, per_second=300)
MAX_STREAMS_OF_A_PEER: Final = 4


def _install() -> None:
    """Mend what can only be mended for the whole process; may be called any number of times.

    - Symptom: half of the CPU time of a delivered message goes into the signed peer record that travels in every RPC:
      it is verified each time, and one's own is rebuilt from the listen addresses for each send.
    - Symptom: an RPC is dropped whole if its record is older than the last, which happens to honest peers whose
      addresses change, since control messages overtake others. A record that is not accepted is now merely not used.
    """
    for module in (pubsub, gossipsub):
        vars(module).update(maybe_consume_signed_record=_consume_record_once, env_to_send_in_RPC=_own_record)


def _consume_record_once(rpc: rpc_pb2.RPC, host: Any, peer: ID) -> bool:
    known: dict[ID, bytes] = host.__dict__.setdefault("_arnode_consumed_records", {})
    if rpc.HasField("senderRecord") and known.get(peer) != rpc.senderRecord:
        if len(known) >= MAX_CACHED_RECORDS:
            known.clear()
        known[peer] = rpc.senderRecord
        maybe_consume_signed_record(rpc, host, peer)
    return True


def _own_record(host: Any) -> tuple[bytes, bool]:
    now = time.monotonic()
    made, envelope = host.__dict__.get("_arnode_own_record", (-OWN_RECORD_SECONDS, b""))
    if now - made < OWN_RECORD_SECONDS:
        return envelope, False
    envelope, fresh = env_to_send_in_RPC(host)
    host.__dict__["_arnode_own_record"] = (now, envelope)
    return envelope, fresh


def forget_own_record(host: BasicHost) -> None:
    """Build the signed peer record anew: the listen addresses have changed."""
    host.__dict__.pop("_arnode_own_record", None)


class _Queues(dict[ID, RpcQueue]):
    """The library's queue for each peer, with ours inside."""

    def __setitem__(self, peer: ID, queue: RpcQueue) -> None:
        queue._queue = Outgoing()
        super().__setitem__(peer, queue)


class Flood(Pubsub, Generic[Read]):
    """Pubsub whose reading side is ours.

    `screen(forwarder, message)` reads each message that was not seen before, ahead of the signature check, which is the
    dear one; None refuses it. What it returned goes, if the message is correctly signed, to `accept(forwarder, …)`,
    which says whether to forward it. Both are synchronous and fast. `blame(peer, reason)` hears of broken rules;
    nothing is read any more from a peer that is not `allowed`. duplicates: messages that came once more.

    - Symptom: six bytes of garbage on a meshsub stream raise DecodeError out of the read loop and end the process; so
      do a message with a garbage key, and any exception in a validator.
    - Symptom: messages with a false signature are dropped without anyone being blamed.
    - Symptom: every message starts a task of the service, found by a search over all its tasks.
    - Symptom: sequence numbers start at whole seconds, so after a quick restart others take new messages for old ones.
    - Symptom: a subscriber's channel holds 32 messages and drops the rest; messages now go straight to `accept`.
    - Symptom: an RPC may hold as many messages, subscriptions, control entries and ids as fit in 1 MiB, and they come
      as fast as the socket gives them; a peer may have as many meshsub streams as it opens.
    """

    def __init__(
        self,
        host: BasicHost,
        router: GossipSub,
        *,
        topics: Iterable[str],
        max_message_bytes: int,
        screen: Callable[[ID, rpc_pb2.Message], Read | None],
        accept: Callable[[ID, Read], bool],
        blame: Callable[[ID, str], object],
        allowed: Callable[[ID], bool],
        overheard: Callable[[bytes], object],
    ) -> None:
        _install()
        super().__init__(
            host,
            router,
            strict_signing=True,
            seen_ttl=SEEN_SECONDS,
            max_inbound_rpc_size=MAX_RPC_BYTES,
            max_subscriptions_per_rpc=MAX_SUBSCRIPTIONS,
            max_subscriptions_per_peer=MAX_SUBSCRIPTIONS,
            allowed_topics=set(topics),
        )
        self.counter = time.time_ns()
        self.duplicates = 0
        self.peer_queues = _Queues()
        self._max_message_bytes = max_message_bytes
        self._screen = screen
        self._accept = accept
        self._blame = blame
        self._allowed = allowed
        self._overheard = overheard
        self._news = trio.Event()
        self._streams: Counter[ID] = Counter()
        self._checks: Buckets[ID] = Buckets(CHECKS)

    async def stream_handler(self, stream: INetStream) -> None:
        """Read one peer's RPCs until its stream ends. Never raises but on cancellation."""
        peer = stream.muxed_conn.peer_id
        if self._streams[peer] >= MAX_STREAMS_OF_A_PEER:
            self._blame(peer, f"more than {MAX_STREAMS_OF_A_PEER} GossipSub streams")
            await reset(stream)
            return
        self._streams[peer] += 1
        try:
            await self._serve(peer, stream)
        finally:
            self._streams[peer] -= 1
            if not self._streams[peer]:
                del self._streams[peer]

    async def _serve(self, peer: ID, stream: INetStream) -> None:
        try:
            await self.continuously_read_stream(stream)
        except StreamEOF:
            return
        except (MessageTooLarge, ParseError) as error:
            self._blame(peer, f"unreadable GossipSub message ({error})")
        except BaseLibp2pError as error:
            pubsub.logger.debug("stream of %s ended: %r", peer, error)
        except Exception as error:  # noqa: BLE001 - what a stranger provokes in the library ends his stream, no more
            self._blame(peer, f"unreadable GossipSub message ({type(error).__name__})")
        await reset(stream)
        self._handle_dead_peer(peer)

    async def continuously_read_stream(self, stream: INetStream) -> None:
        """The read loop proper. Raises StreamEOF at the end, DecodeError and others for garbage."""
        peer = stream.muxed_conn.peer_id
        frames = Frames(stream, self.max_inbound_rpc_size)
        pieces = Bucket(PIECES)
        while self.manager.is_running:
            rpc = rpc_pb2.RPC()
            data = await frames.next()
            rpc.ParseFromString(data)
            delay = pieces.owe(trio.current_time(), pieces_of(rpc, len(data)))
            if delay:
                await trio.sleep(delay)
            _consume_record_once(rpc, self.host, peer)
            for message in rpc.publish:
                if not self._allowed(peer):
                    raise StreamReset("the peer is shut out")
                if not self._is_duplicate(peer, message):
                    await self.push_msg(peer, message)
                    await trio.lowlevel.checkpoint()
            for subscription in rpc.subscriptions:
                self.handle_subscription(peer, subscription)
            if rpc.HasField("control"):
                await self.router.handle_rpc(rpc, peer)

    async def push_msg(self, msg_forwarder: ID, msg: rpc_pb2.Message) -> None:
        """Judge a message, one's own or a peer's, and pass it on if it is good."""
        if msg_forwarder != self.my_id:
            if len(msg.topicIDs) != 1 or msg.topicIDs[0] not in self.topic_ids:
                return
            if msg.from_id == self.my_id.to_bytes():
                self._overheard(msg.data)
                return
            if len(msg.seqno) != SEQNO_BYTES or msg.ByteSize() > self._max_message_bytes + ENVELOPE_BYTES:
                self._blame(msg_forwarder, f"a message of {msg.ByteSize()} bytes, its number of {len(msg.seqno)}")
                return
            read = self._screen(msg_forwarder, msg)
            if read is None or not self._checks.take(msg_forwarder, trio.current_time()):
                return
            if not _signed(msg):
                # not marked as seen: a forger must not be able to suppress the true message
                self._blame(msg_forwarder, "a message with a false signature")
                return
            self._mark_msg_seen(msg)
            if not self._accept(msg_forwarder, read):
                return
        self._mark_msg_seen(msg)
        await self.router.publish(msg_forwarder, msg)
        self._news.set()

    def _is_duplicate(self, peer: ID, msg: rpc_pb2.Message) -> bool:
        """Whether the message was seen before; then it need not go back to the peer that sent it again."""
        message_id = self.get_message_id(msg)
        if not self.seen_messages.has(message_id):
            return False
        self.duplicates += 1
        if peer in self.peer_queues:
            withdraw(self.peer_queues[peer], message_id)
        return True

    async def handle_sending_messages(self, peer_id: ID, stream: INetStream, queue: RpcQueue) -> None:
        """Write what waits for a peer, each time the queue is told to, until the stream ends."""
        while not queue.closed:
            while (frame := queue._queue.pop()) is not None:
                if not await self.write_msg(stream, frame):
                    return
            await queue._notify.wait()

    async def run(self) -> None:
        """The service: the library's, and what lets messages linger a moment, see gossip/outgoing.py."""
        self.manager.run_daemon_task(self._post)
        await super().run()

    async def _post(self) -> None:
        last = -math.inf
        while True:
            await self._news.wait()
            await trio.sleep(random.uniform(0, linger_seconds(trio.current_time() - last)))
            last = trio.current_time()
            self._news = trio.Event()
            for queue in self.peer_queues.values():
                wake(queue)

    async def write_msg(self, stream: INetStream, rpc_msg: rpc_pb2.RPC | bytes) -> bool:
        """Write an RPC, or a frame from the peer's queue; False when the stream has ended.

        Symptom: the library's stream takes a lock and a turn of the scheduler for each write.
        """
        frame = rpc_msg if isinstance(rpc_msg, bytes) else framed(rpc_msg.SerializeToString())
        try:
            await (stream.muxed_stream if isinstance(stream, NetStream) else stream).write(frame)
        except (BaseLibp2pError, OSError) as error:
            peer = stream.muxed_conn.peer_id
            pubsub.logger.debug("stream to %s ended: %r", peer, error)
            self._handle_dead_peer(peer)
            return False
        return True


def _signed(msg: rpc_pb2.Message) -> bool:
    """Whether the author, whose Ed25519 key is in its peer id, signed the message.

    Symptom: the library's validator raises for a key or an id it cannot read, and makes four objects of each key.
    """
    key = msg.from_id.removeprefix(ED25519_PREFIX)
    if len(key) != KEY_BYTES or len(key) == len(msg.from_id):
        return False
    unsigned = rpc_pb2.Message(from_id=msg.from_id, data=msg.data, seqno=msg.seqno, topicIDs=msg.topicIDs)
    try:
        said = PUBSUB_SIGNING_PREFIX.encode() + unsigned.SerializeToString()
        crypto_sign_open(msg.signature + said, key)
    except CryptoError:
        return False
    return True
