// Frames on a libp2p stream: four bytes of length, big-endian, then a msgpack array.

import { decode, encode } from '@msgpack/msgpack'

const MAX_FRAME = 512 * 1024

export class Frames {
  constructor (stream) {
    this.stream = stream
    this.chunks = stream[Symbol.asyncIterator]()
    this.held = Buffer.alloc(0)
  }

  async send (...message) {
    const body = encode(message)
    const head = Buffer.alloc(4)
    head.writeUInt32BE(body.length)
    if (!this.stream.send(Buffer.concat([head, body]))) await this.stream.onDrain()
  }

  async receive () {
    const length = (await this.#exactly(4)).readUInt32BE()
    if (length > MAX_FRAME) throw new Error(`a frame of ${length} bytes`)
    const message = decode(await this.#exactly(length))
    if (!Array.isArray(message) || message.length === 0) throw new Error('a frame that is not an array')
    return message
  }

  async #exactly (count) {
    while (this.held.length < count) {
      const { value, done } = await this.chunks.next()
      if (done) throw new Error('the stream ended')
      this.held = Buffer.concat([this.held, value.subarray()])
    }
    const taken = this.held.subarray(0, count)
    this.held = this.held.subarray(count)
    return taken
  }
}
