// Servers that others wrote, on loopback only.

import { createServer } from 'node:net'

/** A port that was free a moment ago. */
export async function freePort() {
  const server = createServer()
  await new Promise((done) => server.listen(0, '127.0.0.1', done))
  const { port } = server.address()
  await new Promise((done) => server.close(done))
  return port
}

/** Makes an express application listen on loopback, whatever address it was going to take. */
export function onLoopback(app) {
  const listen = app.listen
  app.listen = (port) => listen.call(app, port, '127.0.0.1')
}
