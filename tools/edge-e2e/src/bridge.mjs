// The firehose of a PDS as a Jetstream (v1): follows com.atproto.sync.subscribeRepos and serves
// `/subscribe?cursor=<µs>` on loopback, from memory. Cursors are inclusive; one in the future, or none, means live.
//
// A PDS of a few accounts is silent most of the time, which a network is not. So a filler commit of an account that
// nobody asks for passes every second: lag is then what it would be on a live stream.

import { createServer } from 'node:http'
import { packages } from './packages.mjs'

const { decodeCbor, readCar, lexToJson, WebSocket, WebSocketServer } = packages
const FILLER_DID = 'did:plc:zzzzzzzzzzzzzzzzzzzzzzzz'
const FILLER_COLLECTION = 'com.example.filler'
const FILLER_MS = 1000

export class Bridge {
  /** `{time_us, text}`, in order: the window that a client with a cursor gets. */
  events = []
  /** The PDS's seq of the newest frame taken. */
  seq = 0
  /** Time of the newest event sent, in µs. */
  newest = 0
  /** What the last frame could not be read for, if any: the run ends with it. */
  error = null
  /** Events so far by kind, fillers left out. */
  counts = { commit: 0, identity: 0, account: 0 }
  #clients = new Set()
  #filled = 0

  async start(pds) {
    const url = `${pds.replace('http', 'ws')}/xrpc/com.atproto.sync.subscribeRepos?cursor=0`
    this.#upstream = new WebSocket(url)
    this.#upstream.on('message', (bytes) => {
      // Frames are read one after the other: reading blocks is asynchronous, and their order is the stream's.
      this.#work = this.#work.then(() => this.#take(bytes)).catch((error) => (this.error = error))
    })
    this.#upstream.on('error', (error) => (this.error = error))
    this.#http = createServer((_, response) => response.writeHead(404).end())
    this.#served = new WebSocketServer({ server: this.#http, path: '/subscribe' })
    this.#served.on('connection', (socket, request) => this.#welcome(socket, request))
    await new Promise((done) => this.#http.listen(0, '127.0.0.1', done))
    this.url = `ws://127.0.0.1:${this.#http.address().port}/subscribe`
    this.#timer = setInterval(() => this.fill(), FILLER_MS)
    return this
  }

  #upstream
  #http
  #served
  #timer
  #work = Promise.resolve()

  stop() {
    clearInterval(this.#timer)
    this.#upstream.terminate()
    for (const socket of this.#clients) socket.terminate()
    this.#served.close()
    this.#http.close()
  }

  /** Forgets all events so far, as a Jetstream forgets those older than its window. */
  forget() {
    this.events = []
  }

  /** A commit of the filler account. */
  fill() {
    this.#filled += 1
    this.#send(FILLER_DID, 'commit', {
      rev: tid(Date.now() * 1000 + (this.#filled % 1000)),
      operation: 'delete',
      collection: FILLER_COLLECTION,
      rkey: `f${this.#filled}`,
    })
  }

  async #take(bytes) {
    const [header, body] = decodeCbor(new Uint8Array(bytes))
    if (header.op !== 1) throw new Error(`the firehose said ${JSON.stringify(body)}`)
    if (header.t === '#commit') await this.#commit(body)
    else if (header.t === '#identity') this.#pass('identity', body, ['did', 'handle', 'seq', 'time'])
    else if (header.t === '#account') this.#pass('account', body, ['active', 'did', 'seq', 'status', 'time'])
    // #sync and #info have no form in a Jetstream.
    if (body.seq !== undefined) this.seq = body.seq
  }

  #pass(kind, body, members) {
    const told = Object.fromEntries(members.filter((name) => body[name] !== undefined).map((name) => [name, body[name]]))
    this.counts[kind] += 1
    this.#send(body.did, kind, told)
  }

  async #commit({ repo, rev, ops, blocks }) {
    const { blocks: held } = await readCar(blocks)
    for (const { action, path, cid } of ops) {
      const slash = path.indexOf('/')
      const commit = { rev, operation: action, collection: path.slice(0, slash), rkey: path.slice(slash + 1) }
      if (action !== 'delete') {
        const [record] = decodeCbor(held.get(cid))
        commit.record = lexToJson(record)
        commit.cid = cid.toString()
      }
      this.counts.commit += 1
      this.#send(repo, 'commit', commit)
    }
  }

  #send(did, kind, body) {
    // Each event has a time of its own, so that a cursor names one place.
    this.newest = Math.max(this.newest + 1, Date.now() * 1000)
    const event = { time_us: this.newest, text: JSON.stringify({ did, time_us: this.newest, kind, [kind]: body }) }
    this.events.push(event)
    for (const socket of this.#clients) socket.send(event.text)
  }

  #welcome(socket, request) {
    const cursor = new URL(request.url, 'http://x').searchParams.get('cursor')
    if (cursor !== null) {
      for (const event of this.events) if (event.time_us >= Number(cursor)) socket.send(event.text)
    }
    this.#clients.add(socket)
    socket.on('close', () => this.#clients.delete(socket))
    socket.on('error', () => this.#clients.delete(socket))
  }
}

/** The TID of a time in µs. */
function tid(timeUs) {
  const digits = '234567abcdefghijklmnopqrstuvwxyz'
  let value = BigInt(timeUs) << 10n
  let text = ''
  for (let place = 0; place < 13; place += 1) {
    text = digits[Number(value & 31n)] + text
    value >>= 5n
  }
  return text
}
