// Checks records with nothing of arnode: `node verify.mjs < log.jsonl`, a line for each record of an export.
// Prints the id and what the record says; exit status 1 if any is false.
import { createHash, createPublicKey, verify } from 'node:crypto'
import { createInterface } from 'node:readline'
import { decode } from '@msgpack/msgpack'

const DOMAIN = Buffer.from('arnode/record/1\0')

function check (raw) {
  const [version, kind, task, author, timeMs, body, signature] = decode(raw)
  if (version !== 1 || author.length !== 32 || signature.length !== 64) throw new Error('not a record of version 1')
  // the signature is the last field, 66 bytes with its head: before it stand the six that it covers, in an array of six
  const signed = Buffer.concat([DOMAIN, Buffer.from([0x96]), raw.subarray(1, -66)])
  const key = createPublicKey({ format: 'jwk', key: { kty: 'OKP', crv: 'Ed25519', x: Buffer.from(author).toString('base64url') } })
  if (!verify(null, signed, key, signature)) throw new Error('the author did not sign it')
  const id = createHash('sha256').update(signed).digest('hex')
  return [id, kind, new Date(Number(timeMs)).toISOString(), JSON.stringify(decode(body)).slice(0, 100)].join('  ')
}

for await (const line of createInterface({ input: process.stdin })) {
  try {
    console.log(check(Buffer.from(JSON.parse(line).record, 'base64')))
  } catch (error) {
    console.log(`FALSE  ${error.message}`)
    process.exitCode = 1
  }
}
