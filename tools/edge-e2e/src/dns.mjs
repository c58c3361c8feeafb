// A name server for the names of the run: TXT of `_atproto.<handle>`, and 127.0.0.1 for every name it knows.
// One question a message, no recursion, no compression but that of the answer's name.

import { createSocket } from 'node:dgram'

const A = 1
const TXT = 16
const NXDOMAIN = 3

export class Dns {
  /** handle -> DID, or several: answered at once. */
  handles = new Map()
  /** Names with an address and nothing else. */
  hosts = new Set(['localhost'])
  /** Names that get no answer at all. */
  silent = new Set()
  /** Every question so far, as `TYPE name`. */
  asked = []
  #socket = createSocket('udp4')

  async start() {
    this.#socket.on('message', (message, from) => {
      const answer = this.#answer(message)
      if (answer) this.#socket.send(answer, from.port, from.address)
    })
    await new Promise((done) => this.#socket.bind(0, '127.0.0.1', done))
    this.address = `127.0.0.1:${this.#socket.address().port}`
    return this
  }

  stop() {
    this.#socket.close()
  }

  #answer(message) {
    const labels = []
    let at = 12
    while (at < message.length && message[at] !== 0) {
      labels.push(message.toString('latin1', at + 1, at + 1 + message[at]))
      at += 1 + message[at]
    }
    const name = labels.join('.').toLowerCase()
    const type = message.readUInt16BE(at + 1)
    const question = message.subarray(12, at + 5)
    this.asked.push(`${type === TXT ? 'TXT' : type === A ? 'A' : type} ${name}`)
    if (this.silent.has(name)) return null
    const { known, data } = this.#look(name, type)

    const head = Buffer.alloc(12)
    message.copy(head, 0, 0, 2)
    // An answer, authoritative, with the question's wish for recursion granted.
    head.writeUInt16BE(0x8480 | (message.readUInt16BE(2) & 0x0100) | (known ? 0 : NXDOMAIN), 2)
    head.writeUInt16BE(1, 4)
    head.writeUInt16BE(data.length, 6)
    const records = data.map((bytes) => {
      const fixed = Buffer.alloc(12)
      fixed.writeUInt16BE(0xc00c, 0)
      fixed.writeUInt16BE(type, 2)
      fixed.writeUInt16BE(1, 4)
      // Not to be kept (time to live 0): what was changed holds with the next question.
      fixed.writeUInt16BE(bytes.length, 10)
      return Buffer.concat([fixed, bytes])
    })
    return Buffer.concat([head, question, ...records])
  }

  #look(name, type) {
    if (name.startsWith('_atproto.')) {
      const dids = [this.handles.get(name.slice('_atproto.'.length)) ?? []].flat()
      const texts = dids.map((did) => Buffer.from(`did=${did}`))
      const data = type === TXT ? texts.map((text) => Buffer.concat([Buffer.from([text.length]), text])) : []
      return { known: dids.length > 0, data }
    }
    const known = this.hosts.has(name) || this.handles.has(name)
    return { known, data: known && type === A ? [Buffer.from([127, 0, 0, 1])] : [] }
  }
}
