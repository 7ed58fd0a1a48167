// Reads records in hexadecimal, one a line, and prints the id of each, or why it is none.

import { createInterface } from 'node:readline'
import { readRecord } from './record.mjs'

for await (const line of createInterface({ input: process.stdin })) {
  try {
    console.log(readRecord(Buffer.from(line, 'hex'), Number(process.argv[2])).id.toString('hex'))
  } catch (error) {
    console.log(`refused: ${error.message.split('\n')[0]}`)
  }
}
