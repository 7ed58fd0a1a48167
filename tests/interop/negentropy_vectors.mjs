// Plays the asking side of the reference implementation's exchanges, which come as JSON on standard input.

import assert from 'node:assert/strict'
import { text } from 'node:stream/consumers'
import { Negentropy } from './negentropy.mjs'

const { cases } = JSON.parse(await text(process.stdin))
const hex = (ids) => [...new Set(ids.map((id) => id.toString('hex')))].sort()

for (const { name, frame_size_limit: limit, client_items: items, messages, ...expected } of cases) {
  const ours = new Negentropy(items.map(([time, id]) => ({ time: BigInt(time), id: Buffer.from(id, 'hex') })), limit || Infinity)
  let message = ours.initiate()
  for (let sent = 0; sent < messages.length; sent += 2) {
    assert.equal(message.toString('hex'), messages[sent].hex, name)
    message = ours.next(Buffer.from(messages[sent + 1].hex, 'hex'))
  }
  assert.equal(message, null, name)
  assert.deepEqual(hex(ours.have), expected.client_has_server_lacks, name)
  assert.deepEqual(hex(ours.need), expected.server_has_client_lacks, name)
}
console.log(cases.length)
