// Values that JSON lacks, as vectors.json and the commands write them.

import { Float } from './canonical.mjs'

/** {"hex": "…"} becomes bytes, {"float": 1} a Float, {"int": "…"} a BigInt. */
export function typed (value) {
  if (Array.isArray(value)) return value.map(typed)
  if (value === null || typeof value !== 'object') return value
  const [[key, inner] = []] = Object.entries(value)
  if (Object.keys(value).length === 1) {
    if (key === 'hex') return new Uint8Array(Buffer.from(inner, 'hex'))
    if (key === 'float') return new Float(Number(inner))
    if (key === 'int') return BigInt(inner)
  }
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, typed(item)]))
}
