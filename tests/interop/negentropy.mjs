// Negentropy, protocol version 1: which records each of two nodes lacks, in a few small messages.
//
// An item is {time: BigInt, id: Uint8Array of 32}. What is not in order, or too short, throws.

import { createHash } from 'node:crypto'

const VERSION = 0x61
const SKIP = 0
const FINGERPRINT = 1
const IDS = 2
const BUCKETS = 16
const RESERVE = 200
const INFINITY = { time: 2n ** 64n - 1n, id: Buffer.alloc(0) }

export class Negentropy {
  /** `limit`: the greatest length of a message, at least 4096. */
  constructor (items, limit = Infinity) {
    this.items = items.map(({ time, id }) => ({ time, id: Buffer.from(id) })).sort(order)
    this.limit = limit
    this.have = []
    this.need = []
  }

  /** The first message. */
  initiate () {
    const out = new Output()
    this.#split(out, 0, this.items.length, INFINITY)
    return out.bytes()
  }

  /** Reads an answer: adds to `have` and `need`, and returns the next message, or null at the end. */
  next (answer) {
    const message = this.#respond(answer, true)
    return message.length > 1 ? message : null
  }

  /** The side that is asked: the answer to a message. */
  answer (message) {
    return this.#respond(message, false)
  }

  #respond (message, asking) {
    const input = new Input(message)
    if (input.byte() !== VERSION) throw new Error('another version of Negentropy')
    const out = new Output()
    let lower = 0
    let before = { time: 0n, id: Buffer.alloc(0) }
    let skipped = false
    while (!input.empty()) {
      const bound = input.bound()
      if (order(bound, before) < 0) throw new Error('a bound that goes backwards')
      const mode = input.number()
      let upper = Math.max(lower, this.#rank(bound))
      const mark = out.mark()
      if (mode === SKIP) skipped = true
      else if (mode === FINGERPRINT) {
        if (input.take(16).equals(this.#fingerprint(lower, upper))) skipped = true
        else {
          skipped = out.skip(skipped, before)
          this.#split(out, lower, upper, bound)
        }
      } else if (mode === IDS) {
        const theirs = Array.from({ length: input.number() }, () => input.take(32))
        if (asking) {
          this.#compare(lower, upper, theirs)
          skipped = true
        } else {
          skipped = out.skip(skipped, before)
          upper = this.#list(out, mark.length, lower, upper, bound)
        }
      } else throw new Error(`mode ${mode}`)
      if (out.length > this.limit - RESERVE) {
        if (asking || mode !== IDS) out.cut(mark)
        out.bound(INFINITY).number(FINGERPRINT).put(this.#fingerprint(upper, this.items.length))
        break
      }
      lower = upper
      before = bound
    }
    return out.bytes()
  }

  /** As many ids as fit in the message; returns the index after the last. */
  #list (out, length, lower, upper, bound) {
    const fit = Math.max(0, Math.ceil((this.limit - RESERVE - length + 1) / 32))
    const end = Math.min(upper, lower + fit)
    out.bound(end < upper ? this.items[end] : bound).number(IDS).number(end - lower)
    for (const { id } of this.items.slice(lower, end)) out.put(id)
    return end
  }

  #compare (lower, upper, theirs) {
    const ours = this.items.slice(lower, upper).map((item) => item.id)
    const there = new Set(theirs.map((id) => id.toString('hex')))
    const here = new Set(ours.map((id) => id.toString('hex')))
    this.have.push(...ours.filter((id) => !there.has(id.toString('hex'))))
    this.need.push(...theirs.filter((id) => !here.has(id.toString('hex'))))
  }

  #split (out, lower, upper, bound) {
    const count = upper - lower
    if (count < 2 * BUCKETS) {
      out.bound(bound).number(IDS).number(count)
      for (const { id } of this.items.slice(lower, upper)) out.put(id)
      return
    }
    for (let bucket = 0; bucket < BUCKETS; bucket++) {
      const end = lower + Math.floor(count / BUCKETS) + (bucket < count % BUCKETS ? 1 : 0)
      out.bound(end === upper ? bound : between(this.items[end - 1], this.items[end]))
      out.number(FINGERPRINT).put(this.#fingerprint(lower, end))
      lower = end
    }
  }

  #fingerprint (lower, upper) {
    let sum = 0n
    for (const { id } of this.items.slice(lower, upper)) sum += BigInt('0x' + Buffer.from(id).reverse().toString('hex'))
    const total = Buffer.from(BigInt.asUintN(256, sum).toString(16).padStart(64, '0'), 'hex').reverse()
    return createHash('sha256').update(total).update(number(BigInt(upper - lower))).digest().subarray(0, 16)
  }

  #rank (bound) {
    const found = this.items.findIndex((item) => order(item, bound) >= 0)
    return found < 0 ? this.items.length : found
  }
}

function order (a, b) {
  return a.time < b.time ? -1 : a.time > b.time ? 1 : Buffer.compare(a.id, b.id)
}

/** The shortest bound above the one item and not above the other. */
function between (below, above) {
  if (below.time !== above.time) return { time: above.time, id: Buffer.alloc(0) }
  const shared = above.id.findIndex((byte, index) => byte !== below.id[index])
  return { time: above.time, id: above.id.subarray(0, shared + 1) }
}

/** Base 128, the most significant digit first, all but the last with the high bit. */
function number (value) {
  const digits = [Number(value & 127n)]
  while (value >>= 7n) digits.unshift(Number(value & 127n) | 128)
  return Buffer.from(digits)
}

class Output {
  parts = [Buffer.from([VERSION])]
  length = 1
  last = 0n

  put (bytes) {
    this.parts.push(bytes)
    this.length += bytes.length
    return this
  }

  number (value) { return this.put(number(BigInt(value))) }

  bound ({ time, id }) {
    this.put(number(time === INFINITY.time ? 0n : time - this.last + 1n))
    this.last = time
    return this.number(id.length).put(id)
  }

  /** Writes a skip up to a bound if there is something to skip; returns that there is nothing any more. */
  skip (needed, { time, id }) {
    if (needed) this.bound({ time, id }).number(SKIP)
    return false
  }

  mark () { return { parts: this.parts.length, length: this.length } }

  cut (mark) {
    this.parts.length = mark.parts
    this.length = mark.length
    return this
  }

  bytes () { return Buffer.concat(this.parts) }
}

class Input {
  constructor (bytes) {
    this.data = Buffer.from(bytes)
    this.at = 0
    this.last = 0n
  }

  empty () { return this.at === this.data.length }

  byte () { return this.take(1)[0] }

  take (count) {
    if (this.at + count > this.data.length) throw new Error('the message ends too soon')
    this.at += count
    return this.data.subarray(this.at - count, this.at)
  }

  big () {
    let value = 0n
    for (;;) {
      const digit = this.byte()
      value = value << 7n | BigInt(digit & 127)
      if (value > INFINITY.time) throw new Error('a number beyond 64 bits')
      if (digit < 128) return value
    }
  }

  number () {
    const value = Number(this.big())
    if (value > this.data.length) throw new Error('a count beyond the message')
    return value
  }

  bound () {
    const difference = this.big()
    this.last = difference === 0n ? INFINITY.time : this.last + difference - 1n
    const length = this.number()
    if (length > 32) throw new Error('an id of more than 32 bytes')
    return { time: this.last, id: this.take(length) }
  }
}
