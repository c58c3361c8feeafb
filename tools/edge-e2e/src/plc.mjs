// A PLC directory: @did-plc/server with its database in memory, on loopback.
//
// Its published version gives documents of 2022: a key in the form of the time, of a type of the time. The directory
// in use gives Multikeys. So a front of it makes documents in today's form out of its data, but for accounts in
// `legacy`, which keep the old one. All else, operations with their checks too, is the server's.

import { createServer } from 'node:http'
import { ask, good } from './http.mjs'
import { freePort, onLoopback } from './loopback.mjs'
import { packages } from './packages.mjs'

const { PlcServer, MockDatabase, PlcClient } = packages

export class Plc {
  /** DIDs whose documents are in the old form. */
  legacy = new Set()
  /** Whether nobody is answered, but for the PDS, which asks the server behind the front. */
  isDown = false
  #server
  #front

  async start() {
    const port = await freePort()
    this.inner = `http://127.0.0.1:${port}`
    this.#server = PlcServer.create({ db: new MockDatabase(), port })
    onLoopback(this.#server.app)
    await this.#server.start()
    this.#front = createServer((request, response) => {
      this.#answer(request, response).catch((error) => response.writeHead(500).end(String(error)))
    })
    await new Promise((done) => this.#front.listen(0, '127.0.0.1', done))
    this.url = `http://127.0.0.1:${this.#front.address().port}`
    return this
  }

  async #answer(request, response) {
    if (this.isDown) {
      response.destroy()
      return
    }
    const did = request.url.slice(1)
    if (request.method === 'GET' && /^did:plc:[a-z2-7]{24}$/.test(did) && !this.legacy.has(did)) {
      const { status, body } = await ask(`${this.inner}/${did}/data`)
      if (status === 200) {
        response.writeHead(200, { 'content-type': 'application/did+ld+json; charset=utf-8' })
        response.end(JSON.stringify(documentOf(body)))
        return
      }
    }
    const chunks = []
    for await (const chunk of request) chunks.push(chunk)
    const sent = chunks.length ? { body: Buffer.concat(chunks) } : {}
    const type = request.headers['content-type']
    const answer = await fetch(`${this.inner}${request.url}`, { method: request.method, headers: type ? { 'content-type': type } : {}, ...sent })
    response.writeHead(answer.status, { 'content-type': answer.headers.get('content-type') ?? 'text/plain' })
    response.end(Buffer.from(await answer.arrayBuffer()))
  }

  async document(did) {
    return good(await ask(`${this.url}/${did}`))
  }

  /** The key of an account, as a did:key. */
  async key(did) {
    return good(await ask(`${this.inner}/${did}/data`)).verificationMethods.atproto
  }

  /** Makes a document name another PDS. */
  async move(did, endpoint, key) {
    await new PlcClient(this.inner).updatePds(did, key, endpoint)
  }

  stop() {
    this.#front.close()
    return this.#server.destroy()
  }
}

function documentOf({ did, alsoKnownAs, verificationMethods, services }) {
  return {
    '@context': [
      'https://www.w3.org/ns/did/v1',
      'https://w3id.org/security/multikey/v1',
      'https://w3id.org/security/suites/secp256k1-2019/v1',
    ],
    id: did,
    alsoKnownAs,
    verificationMethod: Object.entries(verificationMethods).map(([name, key]) => ({
      id: `${did}#${name}`,
      type: 'Multikey',
      controller: did,
      publicKeyMultibase: key.replace('did:key:', ''),
    })),
    service: Object.entries(services).map(([name, { type, endpoint }]) => ({ id: `#${name}`, type, serviceEndpoint: endpoint })),
  }
}
