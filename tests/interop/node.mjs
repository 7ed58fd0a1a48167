// A js-libp2p node in an arnode swarm, driven by JSON lines: commands on standard input, events on standard output.
// It ends when its input does.
//
//   node node.mjs '{"swarm": "main", "seed": HEX, "dial": [ADDRESS, …], "key": HEX}'
//
// seed: of the Ed25519 key. key: of a private swarm, may be left out. gossip_only: true to speak no other protocol.
// Commands: {"dial": ADDRESS}, {"publish": {kind, task, body}}, {"explore": PEER} (ask a peer for its peers, and dial them),
// {"sync": PEER} (exchange histories).
// In task and body, {"hex": "…"} stands for bytes and {"float": 1} for a whole number that is a float.

import './node20.mjs'
import { createInterface } from 'node:readline'
import { generateKeyPairFromSeed } from '@libp2p/crypto/keys'
import { gossipsub } from '@libp2p/gossipsub'
import { identify } from '@libp2p/identify'
import { noise } from '@libp2p/noise'
import { preSharedKey } from '@libp2p/pnet'
import { peerIdFromString } from '@libp2p/peer-id'
import { tcp } from '@libp2p/tcp'
import { yamux } from '@libp2p/yamux'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'
import { askPeers, servePeers } from './peers.mjs'
import { makeRecord, readRecord, signer, STORED_KINDS } from './record.mjs'
import { exchange, Log, serveHistory } from './sync.mjs'
import { typed } from './typed.mjs'

const PRESENCE_FRESH_MS = 2 * 60 * 1000

const options = JSON.parse(process.argv[2])
const seed = Buffer.from(options.seed, 'hex')
const me = signer(seed)
const RECORDS = `arnode/1/${options.swarm}/records`
const PRESENCE = `arnode/1/${options.swarm}/presence`
const hex = (bytes) => Buffer.from(bytes).toString('hex')
const tell = (event, fields) => console.log(JSON.stringify({ event, ...fields }))

const node = await createLibp2p({
  privateKey: await generateKeyPairFromSeed('Ed25519', seed),
  addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
  transports: [tcp()],
  connectionProtector: options.key && preSharedKey({ psk: Buffer.from(`/key/swarm/psk/1.0.0/\n/base16/\n${options.key}`) }),
  connectionEncrypters: [noise()],
  streamMuxers: [yamux()],
  services: { identify: identify(), pubsub: gossipsub({ globalSignaturePolicy: 'StrictSign', emitSelf: false, allowPublishToZeroTopicPeers: true }) }
})
const pubsub = node.services.pubsub
const log = new Log()

// What is not valid is neither shown nor forwarded: its forwarder is blamed for it.
function judge (topic, message) {
  try {
    const record = readRecord(message.data, Date.now())
    const inPlace = topic === RECORDS ? STORED_KINDS.includes(record.kind) : record.kind === 'presence'
    if (!inPlace || !Buffer.from(message.from.publicKey.raw).equals(Buffer.from(record.author))) throw new Error('not its author\'s, or in the wrong topic')
    if (topic === PRESENCE && Math.abs(record.timeMs - Date.now()) > PRESENCE_FRESH_MS) return 'ignore'
    return 'accept'
  } catch (error) {
    tell('refused', { topic, why: error.message })
    return error.message === 'from the future' ? 'ignore' : 'reject'
  }
}

for (const topic of [RECORDS, PRESENCE]) {
  pubsub.topicValidators.set(topic, (_, message) => judge(topic, message))
  pubsub.subscribe(topic)
}
pubsub.addEventListener('message', ({ detail: message }) => {
  const record = readRecord(message.data, Date.now())
  if (message.topic === RECORDS) log.add(message.data)
  tell(message.topic === RECORDS ? 'record' : 'presence', {
    id: hex(record.id), kind: record.kind, author: hex(record.author), raw: hex(message.data), body: record.body
  })
})
pubsub.addEventListener('subscription-change', ({ detail }) => {
  tell('subscribed', { peer: detail.peerId.toString(), topics: pubsub.getTopics().filter((topic) => pubsub.getSubscribers(topic).some((peer) => peer.equals(detail.peerId))) })
})
// from now on what is published reaches that peer; before, its stream may not be open yet
pubsub.addEventListener('gossipsub:graft', ({ detail }) => tell('graft', { peer: detail.peerId, topic: detail.topic }))
node.addEventListener('peer:connect', ({ detail }) => tell('connected', { peer: detail.toString() }))
node.addEventListener('peer:disconnect', ({ detail }) => tell('disconnected', { peer: detail.toString() }))

// with the peer's id at the end of each: some implementations write it into the record, others leave it out
function addressesOf ({ peerId, multiaddrs }) {
  return multiaddrs.map((address) => multiaddr(`${address.toString().split('/p2p/')[0]}/p2p/${peerId}`))
}

// two records of one author for one millisecond contradict each other
let latest = 0
function stamp () {
  latest = Math.max(latest + 1, Date.now())
  return latest
}

const commands = {
  dial: (address) => node.dial(multiaddr(address)),
  publish: async ({ kind, task, body }) => {
    const raw = makeRecord(me, kind, typed(task), stamp(), typed(body))
    if (kind !== 'presence') log.add(raw)
    await pubsub.publish(kind === 'presence' ? PRESENCE : RECORDS, raw)
    tell('published', { id: hex(readRecord(raw, Date.now()).id) })
  },
  explore: async (peer) => {
    for (const named of await askPeers(node, peerIdFromString(peer), options.swarm)) {
      if (!named.peerId.equals(node.peerId)) await node.dial(addressesOf(named))
    }
  },
  sync: async (peer) => {
    const done = await exchange(node, peerIdFromString(peer), options.swarm, log)
    tell('synced', { ...done, ids: [...log.keys()].sort() })
  }
}

if (!options.gossip_only) {
  await servePeers(node, options.swarm)
  await serveHistory(node, options.swarm, log, (done) => tell('followed', done))
}
tell('listening', { address: node.getMultiaddrs()[0].toString(), author: hex(me.author) })
for (const address of options.dial ?? []) await commands.dial(address)
for await (const line of createInterface({ input: process.stdin })) {
  for (const [name, argument] of Object.entries(JSON.parse(line))) {
    await commands[name](argument).catch((error) => tell('failed', { command: name, why: error.message }))
  }
}
await node.stop()
process.exit(0)
