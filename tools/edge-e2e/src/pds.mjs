// The PDS: @atproto/pds as it is published, on loopback.

import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { call, good, query } from './http.mjs'
import { freePort, onLoopback } from './loopback.mjs'
import { packages } from './packages.mjs'

const { PDS, envToCfg, envToSecrets, Secp256k1Keypair } = packages

export const ADMIN_PASSWORD = 'edge-e2e-admin'

export class Pds {
  async start(directory, plc) {
    const port = await freePort()
    await mkdir(join(directory, 'pds'))
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
      didPlcUrl: plc.inner,
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
