// History exchange, `/arnode/sync/1`: afterwards both sides have what either had.

import { Frames } from './frames.mjs'
import { Negentropy } from './negentropy.mjs'
import { readRecord, STORED_KINDS } from './record.mjs'

const PROTOCOL = '/arnode/sync/1'
const VERSION = 1
const MAX_MESSAGE = 64 * 1024
const BATCH_RECORDS = 256
const BATCH_BYTES = 384 * 1024

/** The set of records: id in hexadecimal → {raw, record}. */
export class Log extends Map {
  /** Adds a record's bytes, checked. Returns its id in hexadecimal. */
  add (raw) {
    const record = readRecord(raw, Date.now())
    if (!STORED_KINDS.includes(record.kind)) throw new Error(`a ${record.kind} is not stored`)
    const id = record.id.toString('hex')
    this.set(id, { raw: Buffer.from(raw), record })
    return id
  }

  items () {
    return [...this.values()].map(({ record }) => ({ time: BigInt(record.timeMs), id: record.id }))
  }
}

/** Leads: exchanges histories with a connected peer; how many records came, and how many were new there. */
export async function exchange (node, peer, swarm, log) {
  const stream = await node.dialProtocol(peer, PROTOCOL)
  const frames = new Frames(stream)
  const ask = async (answer, ...request) => {
    await frames.send(...request)
    const [what, ...content] = await frames.receive()
    if (what !== answer) throw new Error(`${request[0]} was answered by ${what} ${content[0]}`)
    return content
  }
  const [, theirs] = await ask('hello', 'hello', VERSION, swarm, Date.now(), { archive: false })
  if (theirs !== swarm) throw new Error(`the peer is in swarm ${theirs}`)

  // what is found to differ is exchanged at once: a hundred messages without a record would be an offence
  const difference = new Negentropy(log.items(), MAX_MESSAGE)
  const given = new Set()
  let [received, sent] = [0, 0]
  for (let message = difference.initiate(); message !== null;) {
    message = difference.next((await ask('reconcile', 'reconcile', message))[0])
    received += await fetchRecords(ask, hexOf(difference.need.splice(0)).filter((id) => !log.has(id)), log)
    const have = hexOf(difference.have.splice(0)).filter((id) => !given.has(id))
    sent += await giveRecords(ask, have.map((id) => given.add(id) && log.get(id).raw))
  }
  await frames.send('bye')
  await stream.close()
  return { received, sent }
}

/** Follows whoever asks; `done` hears how many records came that were new, and how many went. */
export function serveHistory (node, swarm, log, done) {
  return node.handle(PROTOCOL, async (stream) => {
    try {
      done(await follow(new Frames(stream), swarm, log))
      await stream.close()
    } catch (error) {
      stream.abort(error)
    }
  })
}

async function follow (frames, swarm, log) {
  let [received, sent] = [0, 0]
  const [hello, version, theirs] = await frames.receive()
  if (hello !== 'hello') throw new Error(`began with ${hello}`)
  if (version !== VERSION || theirs !== swarm) {
    await frames.send('refuse', ...(version !== VERSION ? ['version', VERSION] : ['swarm', swarm]))
    return { received, sent }
  }
  await frames.send('hello', VERSION, swarm, Date.now(), { archive: false })
  const difference = new Negentropy(log.items(), MAX_MESSAGE)
  for (;;) {
    const [what, content] = await frames.receive()
    if (what === 'bye') return { received, sent }
    if (what === 'reconcile') await frames.send('reconcile', difference.answer(content))
    else if (what === 'want') {
      const named = Buffer.from(content).toString('hex').match(/.{64}/g)
      const raws = batchOf(named.filter((id) => log.has(id)).map((id) => log.get(id).raw))
      if (!raws.length) throw new Error('wants records that were not offered')
      await frames.send('records', raws)
      sent += raws.length
    } else if (what === 'give') {
      const before = log.size
      for (const raw of content) log.add(raw)
      await frames.send('took', log.size - before)
      received += log.size - before
    } else throw new Error(`asked ${what}`)
  }
}

/** The first of these records that fit a frame: at least one. */
function batchOf (raws) {
  let bytes = 0
  const fits = raws.slice(0, BATCH_RECORDS).findIndex((raw, index) => (bytes += raw.length) > BATCH_BYTES && index > 0)
  return raws.slice(0, fits < 0 ? BATCH_RECORDS : fits)
}

function hexOf (ids) {
  return [...new Set(ids.map((id) => id.toString('hex')))]
}

async function fetchRecords (ask, wanted, log) {
  const all = wanted.length
  while (wanted.length) {
    const batch = wanted.slice(0, BATCH_RECORDS)
    const [raws] = await ask('records', 'want', Buffer.from(batch.join(''), 'hex'))
    const came = raws.map((raw) => log.add(raw))
    if (!came.length || !came.every((id) => batch.includes(id))) throw new Error('records that nobody asked for')
    wanted.splice(0, came.length)
  }
  return all
}

async function giveRecords (ask, offered) {
  let sent = 0
  while (offered.length) {
    const batch = batchOf(offered)
    sent += (await ask('took', 'give', batch))[0]
    offered.splice(0, batch.length)
  }
  return sent
}
