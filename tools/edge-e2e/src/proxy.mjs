// What stands between orrery and the PDS for some accounts: their DID documents name it as their PDS. It passes
// everything on until a method is given a rule, which may change, hold or make up the answer.

import { createServer } from 'node:http'

export class Proxy {
  /** nsid -> async (exchange) => void, where exchange = {request, response, forward, give}. */
  rules = new Map()
  /** Every request so far, as `{nsid, url, headers}`. */
  requests = []
  #server
  #sockets = new Set()

  /** `name` is the host that the documents name: one of its own, so that limits by host tell it from the PDS. */
  async start(pds, name) {
    this.#server = createServer((request, response) => {
      const nsid = new URL(request.url, 'http://x').pathname.split('/').pop()
      this.requests.push({ nsid, url: request.url, headers: request.headers })
      const forward = async () => {
        const answer = await fetch(`${pds}${request.url}`)
        const bytes = Buffer.from(await answer.arrayBuffer())
        return { status: answer.status, type: answer.headers.get('content-type') ?? '', bytes }
      }
      const give = ({ status = 200, type = 'application/json', bytes, headers = {} }) =>
        response.writeHead(status, { 'content-type': type, ...headers }).end(bytes)
      const rule = this.rules.get(nsid) ?? (async () => give(await forward()))
      rule({ request, response, forward, give }).catch((error) => {
        response.destroy()
        this.error = error
      })
    })
    this.#server.on('connection', (socket) => {
      this.#sockets.add(socket)
      socket.on('close', () => this.#sockets.delete(socket))
    })
    await new Promise((done) => this.#server.listen(0, '127.0.0.1', done))
    this.url = `http://${name}:${this.#server.address().port}`
    return this
  }

  count(nsid) {
    return this.requests.filter((request) => request.nsid === nsid).length
  }

  stop() {
    for (const socket of this.#sockets) socket.destroy()
    this.#server.close()
  }
}
