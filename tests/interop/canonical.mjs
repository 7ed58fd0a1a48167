// The one valid msgpack encoding of a value, written and read strictly.
//
// JavaScript has one type of number and the records have two, so a 64-bit float that happens to be whole is a `Float`
// here; every other number is itself. A reader that lost the difference could not tell the canonical form from others.

const MAX_DEPTH = 16
const utf8 = new TextEncoder()
const fromUtf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** A whole number that is encoded as a float. */
export class Float {
  constructor (value) { this.value = value }
  valueOf () { return this.value }
  toJSON () { return this.value }
}

/** Bytes of a value: null, boolean, number, BigInt, Float, string, Uint8Array, array, or object with string keys. */
export function encode (value) {
  const parts = []
  write(value, MAX_DEPTH, parts)
  return Buffer.concat(parts)
}

function write (value, depth, out) {
  if (depth === 0) throw new Error(`nested deeper than ${MAX_DEPTH}`)
  if (value === null) out.push(Buffer.from([0xc0]))
  else if (typeof value === 'boolean') out.push(Buffer.from([value ? 0xc3 : 0xc2]))
  else if (value instanceof Float || (typeof value === 'number' && !Number.isInteger(value))) out.push(float(Number(value)))
  else if (typeof value === 'number' || typeof value === 'bigint') out.push(integer(BigInt(value)))
  else if (typeof value === 'string') {
    const text = utf8.encode(value)
    out.push(head(text.length, [[32, 0xa0], [1 << 8, 0xd9], [1 << 16, 0xda], [2 ** 32, 0xdb]]), text)
  } else if (value instanceof Uint8Array) {
    out.push(head(value.length, [[1 << 8, 0xc4], [1 << 16, 0xc5], [2 ** 32, 0xc6]]), value)
  } else if (Array.isArray(value)) {
    out.push(head(value.length, [[16, 0x90], [1 << 16, 0xdc], [2 ** 32, 0xdd]]))
    for (const item of value) write(item, depth - 1, out)
  } else {
    const keys = Object.keys(value).sort((a, b) => Buffer.compare(utf8.encode(a), utf8.encode(b)))
    out.push(head(keys.length, [[16, 0x80], [1 << 16, 0xde], [2 ** 32, 0xdf]]))
    for (const key of keys) { write(key, 1, out); write(value[key], depth - 1, out) }
  }
}

function float (value) {
  if (!Number.isFinite(value)) throw new Error('a number is not finite')
  const bytes = Buffer.alloc(9)
  bytes[0] = 0xcb
  bytes.writeDoubleBE(value, 1)
  return bytes
}

function integer (value) {
  if (value >= 0n && value < 128n) return Buffer.from([Number(value)])
  if (value >= -32n && value < 0n) return Buffer.from([256 + Number(value)])
  const steps = value >= 0n ? [0xcc, 0xcd, 0xce, 0xcf] : [0xd0, 0xd1, 0xd2, 0xd3]
  for (const [power, mark] of steps.entries()) {
    const bits = 8 << power
    if ((value >= 0n ? BigInt.asUintN(bits, value) : BigInt.asIntN(bits, value)) === value) {
      const digits = BigInt.asUintN(bits, value).toString(16).padStart(bits / 4, '0')
      return Buffer.concat([Buffer.from([mark]), Buffer.from(digits, 'hex')])
    }
  }
  throw new Error(`${value} has no msgpack form`)
}

/** The mark and the length in the shortest of the forms; `forms` are [first length that is too long, mark]. */
function head (length, forms) {
  const index = forms.findIndex(([end]) => length < end)
  const [end, mark] = forms[index]
  if (end <= 32) return Buffer.from([mark | length])
  const size = end === 1 << 8 ? 1 : end === 1 << 16 ? 2 : 4
  const bytes = Buffer.alloc(1 + size)
  bytes[0] = mark
  bytes.writeUIntBE(length, 1, size)
  return bytes
}

/** The value of canonical bytes. Throws for anything else, such as another encoding of the same value. */
export function decode (bytes) {
  const data = Buffer.from(bytes)
  const [value, end] = read(data, 0, MAX_DEPTH)
  if (end !== data.length) throw new Error('bytes after the value')
  if (!encode(value).equals(data)) throw new Error('not the canonical encoding of its value')
  return value
}

function read (data, at, depth) {
  if (depth === 0) throw new Error(`nested deeper than ${MAX_DEPTH}`)
  const mark = data.readUInt8(at++)
  const length = (size) => { at += size; return data.readUIntBE(at - size, size) }
  const big = (size, signed) => {
    at += size
    const digits = BigInt('0x' + whole(data, at - size, size).toString('hex'))
    const value = signed ? BigInt.asIntN(8 * size, digits) : digits
    return [Number.isSafeInteger(Number(value)) ? Number(value) : value, at]
  }
  if (mark < 0x80) return [mark, at]
  if (mark >= 0xe0) return [mark - 256, at]
  if (mark < 0x90) return map(data, at, mark - 0x80, depth)
  if (mark < 0xa0) return array(data, at, mark - 0x90, depth)
  if (mark < 0xc0) return text(data, at, mark - 0xa0)
  switch (mark) {
    case 0xc0: return [null, at]
    case 0xc2: case 0xc3: return [mark === 0xc3, at]
    case 0xc4: case 0xc5: case 0xc6: {
      const size = length(1 << (mark - 0xc4))
      return [new Uint8Array(whole(data, at, size)), at + size]
    }
    case 0xcb: {
      const value = data.readDoubleBE(at)
      return [Number.isInteger(value) ? new Float(value) : value, at + 8]
    }
    case 0xcc: case 0xcd: case 0xce: case 0xcf: return big(1 << (mark - 0xcc), false)
    case 0xd0: case 0xd1: case 0xd2: case 0xd3: return big(1 << (mark - 0xd0), true)
    case 0xd9: case 0xda: case 0xdb: { const size = length(1 << (mark - 0xd9)); return text(data, at, size) }
    case 0xdc: case 0xdd: { const size = length(2 << (mark - 0xdc)); return array(data, at, size, depth) }
    case 0xde: case 0xdf: { const size = length(2 << (mark - 0xde)); return map(data, at, size, depth) }
  }
  throw new Error(`0x${mark.toString(16)} does not occur in records`)
}

function whole (data, at, size) {
  if (at + size > data.length) throw new RangeError('the bytes end too soon')
  return data.subarray(at, at + size)
}

function text (data, at, size) {
  return [fromUtf8.decode(whole(data, at, size)), at + size]
}

function array (data, at, count, depth) {
  const items = []
  for (let i = 0; i < count; i++) {
    const [item, end] = read(data, at, depth - 1)
    items.push(item)
    at = end
  }
  return [items, at]
}

function map (data, at, count, depth) {
  const entries = []
  for (let i = 0; i < count; i++) {
    const [key, middle] = read(data, at, 1 + 1)
    if (typeof key !== 'string') throw new Error('a map key is not a string')
    const [value, end] = read(data, middle, depth - 1)
    entries.push([key, value])
    at = end
  }
  return [Object.fromEntries(entries), at]
}
