// Makes and reads everything in vectors.json; prints how much that was. An assertion ends it.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { inflateSync } from 'node:zlib'
import { peerIdFromPublicKey } from '@libp2p/peer-id'
import { generateKeyPairFromSeed } from '@libp2p/crypto/keys'
import { encode } from './canonical.mjs'
import { readInvite } from './invite.mjs'
import { makeRecord, readRecord, recipeId, sha256, signer } from './record.mjs'
import { typed } from './typed.mjs'

const vectors = JSON.parse(readFileSync(new URL('vectors.json', import.meta.url)))
const seed = Buffer.from(vectors.seed, 'hex')
const me = signer(seed)
const hex = (bytes) => Buffer.from(bytes).toString('hex')

assert.equal(hex(me.author), vectors.author)
assert.equal(peerIdFromPublicKey((await generateKeyPairFromSeed('Ed25519', seed)).publicKey).toString(), vectors.peer_id)

for (const { name, kind, task, time_ms: timeMs, body, record, id } of vectors.records) {
  assert.equal(hex(makeRecord(me, kind, typed(task), timeMs, typed(body))), record, name)
  const read = readRecord(Buffer.from(record, 'hex'), timeMs)
  assert.equal(hex(read.id), id, name)
  assert.equal(hex(encode(read.body)), hex(encode(typed(body))), name)
}
for (const { name, record } of vectors.refused) {
  assert.throws(() => readRecord(Buffer.from(record, 'hex'), 1_700_000_000_000), Error, name)
}
for (const { recipe, id } of vectors.recipes) assert.equal(hex(recipeId(typed(recipe))), id)
for (const { packed, dictionary, text } of vectors.packed) {
  const options = dictionary ? { dictionary: Buffer.from(dictionary).subarray(-32768) } : {}
  assert.equal(inflateSync(Buffer.from(packed, 'hex'), options).toString(), text)
}
assert.equal(hex(sha256(encode(typed(vectors.task.canonical)))), vectors.task.fingerprint)

const { text, ...said } = vectors.invite
assert.deepEqual(readInvite(text), said)
assert.throws(() => readInvite(text.slice(0, -1) + 'a'), /damaged/)

console.log(JSON.stringify({
  records: vectors.records.length, refused: vectors.refused.length, recipes: vectors.recipes.length,
  packed: vectors.packed.length, task: 1, invite: 1
}))
