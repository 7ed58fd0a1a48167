// Plays both sides of the reference implementation's exchanges, which come as JSON on standard input.

import assert from 'node:assert/strict'
import { text } from 'node:stream/consumers'
import { Negentropy } from './negentropy.mjs'

const { cases } = JSON.parse(await text(process.stdin))
const hex = (ids) => [...new Set(ids.map((id) => id.toString('hex')))].sort()

for (const { name, frame_size_limit: limit, client_items: client, server_items: server, messages, ...expected } of cases) {
  const [ours, theirs] = [client, server].map((items) =>
    new Negentropy(items.map(([time, id]) => ({ time: BigInt(time), id: Buffer.from(id, 'hex') })), limit || Infinity))
  let message = ours.initiate()
  for (let sent = 0; sent < messages.length; sent += 2) {
    assert.equal(message.toString('hex'), messages[sent].hex, name)
    const answer = theirs.answer(message)
    assert.equal(answer.toString('hex'), messages[sent + 1].hex, name)
    message = ours.next(answer)
  }
  assert.equal(message, null, name)
  assert.deepEqual(hex(ours.have), expected.client_has_server_lacks, name)
  assert.deepEqual(hex(ours.need), expected.server_has_client_lacks, name)
}
console.log(cases.length)
