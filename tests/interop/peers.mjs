// Peer exchange: `/arnode/peers/1`.

import { PeerRecord, RecordEnvelope } from '@libp2p/peer-record'
import { Frames } from './frames.mjs'

const PROTOCOL = '/arnode/peers/1'
const MAX_NAMED = 32

/** Names this node's peers to those who ask. */
export function servePeers (node, swarm) {
  return node.handle(PROTOCOL, async (stream, connection) => {
    try {
      const frames = new Frames(stream)
      const [what, theirs] = await frames.receive()
      if (what === 'leave') {
        await frames.send('left')
        return await stream.close()
      }
      if (what !== 'peers?') throw new Error(`asked ${what}`)
      const others = node.getPeers().filter((peer) => theirs === swarm && !peer.equals(connection.remotePeer))
      const known = await Promise.all(others.slice(0, MAX_NAMED).map((peer) => node.peerStore.get(peer)))
      await frames.send('peers', known.map((peer) => peer.peerRecordEnvelope).filter(Boolean))
      await stream.close()
    } catch (error) {
      stream.abort(error)
    }
  })
}

/** The signed records, {peerId, multiaddrs}, of a peer's peers. */
export async function askPeers (node, peer, swarm) {
  const stream = await node.dialProtocol(peer, PROTOCOL)
  const frames = new Frames(stream)
  await frames.send('peers?', swarm)
  const [what, envelopes] = await frames.receive()
  if (what !== 'peers') throw new Error(`answered ${what}`)
  await stream.close()
  const opened = await Promise.all(envelopes.map((envelope) => RecordEnvelope.openAndCertify(envelope, PeerRecord.DOMAIN)))
  return opened.map((envelope) => PeerRecord.createFromProtobuf(envelope.payload))
}
