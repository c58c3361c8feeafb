// The network that the run is about: a PLC directory and a PDS, both listening on loopback only.

import { createServer } from 'node:net'
import { join } from 'node:path'
import { ask, good, query, call } from './http.mjs'
import { packages } from './packages.mjs'

const { PDS, envToCfg, envToSecrets, PlcServer, MockDatabase, PlcClient, Secp256k1Keypair } = packages

export const ADMIN_PASSWORD = 'edge-e2e-admin'

/** A port that was free a moment ago. */
async function freePort() {
  const server = createServer()
  await new Promise((done) => server.listen(0, '127.0.0.1', done))
  const { port } = server.address()
  await new Promise((done) => server.close(done))
  return port
}

/** Makes an application listen on loopback, whatever it was going to. */
function onLoopback(app) {
  const listen = app.listen
  app.listen = (port) => listen.call(app, port, '127.0.0.1')
}

export class Plc {
  async start() {
    const port = await freePort()
    this.url = `http://127.0.0.1:${port}`
    this.#server = PlcServer.create({ db: new MockDatabase(), port })
    onLoopback(this.#server.app)
    await this.#server.start()
    return this
  }

  #server

  async document(did) {
    const { status, body } = await ask(`${this.url}/${did}`)
    if (status !== 200) throw new Error(`${did}: status ${status} of the directory`)
    return body
  }

  /** Makes a document name another PDS. */
  async move(did, endpoint, key) {
    await new PlcClient(this.url).updatePds(did, key, endpoint)
  }

  stop() {
    return this.#server.destroy()
  }
}

export class Pds {
  async start(directory, plc) {
    const port = await freePort()
    this.url = `http://localhost:${port}`
    this.rotationKey = await Secp256k1Keypair.create({ exportable: true })
    const recovery = await Secp256k1Keypair.create()
    const settings = {
      devMode: true,
      port,
      hostname: 'localhost',
      dataDirectory: join(directory, 'pds'),
      blobstoreDiskLocation: join(directory, 'pds', 'blobs'),
      blobstoreDiskTmpLocation: join(directory, 'pds', 'blobs-temporary'),
      didPlcUrl: plc.url,
      recoveryDidKey: recovery.did(),
      serviceHandleDomains: ['.test'],
      inviteRequired: false,
      rateLimitsEnabled: false,
      disableSsrfProtection: true,
      jwtSecret: 'edge-e2e-secret',
      adminPassword: ADMIN_PASSWORD,
      plcRotationKeyK256PrivateKeyHex: Buffer.from(await this.rotationKey.export()).toString('hex'),
    }
    this.#server = await PDS.create(envToCfg(settings), envToSecrets(settings))
    onLoopback(this.#server.app)
    await this.#server.start()
    return this
  }

  #server

  get(nsid, params) {
    return query(this.url, nsid, params)
  }

  /** An admin's call. */
  async admin(nsid, body) {
    const authorization = `Basic ${Buffer.from(`admin:${ADMIN_PASSWORD}`).toString('base64')}`
    return good(await call(this.url, nsid, body, { authorization }))
  }

  /** The seq of its newest event. */
  async seq() {
    return (await this.#server.ctx.sequencer.curr()) ?? 0
  }

  stop() {
    return this.#server.destroy()
  }
}
