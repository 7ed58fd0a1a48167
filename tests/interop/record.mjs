// Records: made, and read with every check of docs/protocol.md but the bodies' fields.

import { createHash, createPrivateKey, createPublicKey, sign, verify } from 'node:crypto'
import { decode, encode } from './canonical.mjs'

const DOMAIN = Buffer.from('arnode/record/1\0')
const MAX_BYTES = 64 * 1024
const MAX_AHEAD_MS = 10 * 60 * 1000
export const STORED_KINDS = ['result', 'calibration', 'hypothesis', 'insight', 'profile']
const KINDS = [...STORED_KINDS, 'presence']

// DER around a raw Ed25519 key: RFC 8410
const PUBLIC_PREFIX = Buffer.from('302a300506032b6570032100', 'hex')
const PRIVATE_PREFIX = Buffer.from('302e020100300506032b657004220420', 'hex')

// Points of small order, without the sign: under such a key anyone can sign. OpenSSL takes them, libsodium does not.
const SMALL_ORDER = [
  '00'.repeat(32), '01' + '00'.repeat(31),
  '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05', 'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a',
  ...['ec', 'ed', 'ee'].map((first) => first + 'ff'.repeat(30) + '7f')
]

function isSmall (key) {
  const bytes = Buffer.from(key)
  bytes[31] &= 127
  return SMALL_ORDER.includes(bytes.toString('hex'))
}

/** What signs: made of a 32-byte Ed25519 seed. */
export function signer (seed) {
  const key = createPrivateKey({ key: Buffer.concat([PRIVATE_PREFIX, seed]), format: 'der', type: 'pkcs8' })
  const author = createPublicKey(key).export({ format: 'der', type: 'spki' }).subarray(-32)
  return { author, sign: (bytes) => sign(null, bytes, key) }
}

/** Bytes of a new record. */
export function makeRecord (who, kind, task, timeMs, body) {
  const fields = [1, kind, task, who.author, timeMs, encode(body)]
  return encode([...fields, who.sign(Buffer.concat([DOMAIN, encode(fields)]))])
}

/** A record's fields and id. Throws an error that says which rule the bytes break. */
export function readRecord (raw, nowMs) {
  if (raw.length > MAX_BYTES) throw new Error(`${raw.length} bytes`)
  const fields = decode(raw)
  if (!Array.isArray(fields) || fields.length !== 7) throw new Error('not an array of seven fields')
  const [version, kind, task, author, timeMs, bytes, signature] = fields
  if (version !== 1) throw new Error(`version ${version}`)
  if (!KINDS.includes(kind)) throw new Error(`kind ${kind}`)
  for (const [value, length] of [[task, 32], [author, 32], [signature, 64]]) {
    if (!(value instanceof Uint8Array) || value.length !== length) throw new Error(`a field is not ${length} bytes`)
  }
  if (!Number.isSafeInteger(timeMs) || timeMs <= 0) throw new Error('time_ms is not a time')
  if (!(bytes instanceof Uint8Array)) throw new Error('body is not bytes')
  const body = decode(bytes)
  if (body === null || Object.getPrototypeOf(body) !== Object.prototype) throw new Error('body is not a map')
  if (timeMs > nowMs + MAX_AHEAD_MS) throw new Error('from the future')
  const signed = Buffer.concat([DOMAIN, encode(fields.slice(0, 6))])
  const key = createPublicKey({ key: Buffer.concat([PUBLIC_PREFIX, author]), format: 'der', type: 'spki' })
  if (isSmall(author) || !verify(null, signed, key, signature)) throw new Error('the author did not sign it')
  return { kind, task, author, timeMs, body, id: sha256(signed) }
}

/** SHA-256, 32 bytes. */
export function sha256 (bytes) {
  return createHash('sha256').update(bytes).digest()
}

/** The id of a recipe: {files, knobs}, with the values of float knobs as `Float` where they are whole. */
export function recipeId (recipe) {
  return sha256(encode(recipe))
}
