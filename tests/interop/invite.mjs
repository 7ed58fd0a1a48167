// Invites: a swarm's name, its key, and peers to begin with, in one word.

import { createHash } from 'node:crypto'
import { peerIdFromPublicKey } from '@libp2p/peer-id'
import { publicKeyFromRaw } from '@libp2p/crypto/keys'
import { multiaddr } from '@multiformats/multiaddr'
import { base32 } from 'multiformats/bases/base32'
import { decode } from './canonical.mjs'

/** {swarm, expires, key, bootstrap}. Throws for what is damaged, or no invite. */
export function readInvite (text) {
  const word = text.replace(/\s/g, '').toLowerCase()
  if (!word.startsWith('arnode1')) throw new Error('not an invite')
  const data = base32.baseDecode(word.slice('arnode1'.length))
  const payload = data.subarray(0, -4)
  const sum = createHash('sha256').update('arnode/invite\0').update(payload).digest().subarray(0, 4)
  if (!sum.equals(data.subarray(-4))) throw new Error('the invite is damaged')
  const [version, swarm, expires, key, peers] = decode(payload)
  if (version !== 1) throw new Error(`version ${version}`)
  const bootstrap = peers.flatMap(([publicKey, addresses]) => {
    const peer = peerIdFromPublicKey(publicKeyFromRaw(publicKey))
    return addresses.map((address) => `${multiaddr(address)}/p2p/${peer}`)
  })
  return { swarm, expires, key: key && Buffer.from(key).toString('hex'), bootstrap }
}
