// Everything that a run has: the network with its accounts, the bridge, the stand-ins, and orrery.

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Bridge } from './bridge.mjs'
import { edgeFlags, OWN_DOMAIN } from './contract.mjs'
import { until } from './check.mjs'
import { Dns } from './dns.mjs'
import { Orrery } from './orrery.mjs'
import { Pds } from './pds.mjs'
import { Person } from './people.mjs'
import { Plc } from './plc.mjs'
import { Proxy } from './proxy.mjs'
import { shapes } from './records.mjs'

const NAMES = ['alice', 'bobby', 'carol', 'dave', 'erin', 'frank', 'grace', 'heidi', 'ivan']
/** How many records the proxied account gets: each attempt to pass on something false takes one. */
const PROXIED = 48
const PNG = Buffer.from('iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==', 'base64')

export class World {
  constructor(program, checks) {
    this.program = program
    this.checks = checks
  }

  /** Makes the network and its accounts, the records that the stream will not have, and the stream. */
  async start() {
    this.directory = await mkdtemp(join(tmpdir(), 'orrery-edge-e2e-'))
    this.dns = await new Dns().start()
    this.plc = await new Plc().start()
    this.pds = await new Pds().start(this.directory, this.plc)
    this.proxy = await new Proxy().start(this.pds.url, 'proxy.test')
    this.dns.hosts.add('proxy.test')
    this.people = {}
    for (const name of NAMES) this.people[name] = await Person.join(this.pds, this.dns, name)
    const { alice, bobby, carol } = this.people
    for (const person of Object.values(this.people)) {
      await person.put({ collection: 'com.example.thing', rkey: 'early', record: { $type: 'com.example.thing', subject: bobby.did } })
    }

    const post = { collection: 'app.bsky.feed.post', rkey: 'first', record: { $type: 'app.bsky.feed.post', text: 'the first', createdAt: '2026-11-01T12:00:00.000Z' } }
    this.post = { ...post, ...(await bobby.put(post)) }
    this.early = await this.#write(alice, 'e')
    this.earlyOfCarol = []
    for (let n = 0; n < PROXIED; n += 1) {
      const record = { collection: 'com.example.thing', rkey: `c${n}`, record: { $type: 'com.example.thing', n, subject: bobby.did } }
      await carol.put(record)
      this.earlyOfCarol.push(record)
    }
    // One account's document is of the old form.
    this.plc.legacy.add(this.people.grace.did)
    await this.plc.move(carol.did, this.proxy.url, this.pds.rotationKey)

    this.bridge = await new Bridge().start(this.pds.url)
    await this.bridged()
    this.bridge.forget()
    this.orrery = new Orrery(this.program, this.directory)
    this.missing = this.orrery.missingFlags()
  }

  /** Starts orrery, with the edge's flags where it has them. */
  async serve() {
    const edge = this.missing.length ? [] : edgeFlags({ dns: this.dns.address, plc: this.plc.url })
    await this.orrery.start(['--jetstream', this.bridge.url, '--did-web-domain', OWN_DOMAIN, ...edge])
  }

  /** Writes records of every shape within the stream. */
  async writeLate() {
    this.late = await this.#write(this.people.alice, 'l')
    await this.settle()
  }

  async #write(person, prefix) {
    const blob = await person.blob(PNG, 'image/png')
    const list = shapes(prefix, { post: { uri: this.post.uri, cid: this.post.cid }, did: this.people.bobby.did, blob })
    for (const record of list) await person.put(record)
    return list
  }

  /** Waits until the bridge has all that the PDS did. */
  async bridged() {
    const seq = await this.pds.seq()
    await until(`the bridge has seq ${seq}`, () => {
      if (this.bridge.error) throw this.bridge.error
      return this.bridge.seq >= seq
    })
  }

  /** Waits until orrery has applied all that the PDS did. */
  async settle() {
    await this.bridged()
    this.bridge.fill()
    const newest = this.bridge.newest
    await until('orrery has applied it', async () => (await this.orrery.through()) >= newest)
  }

  async stop(keep) {
    await this.orrery?.stop()
    this.bridge?.stop()
    this.proxy?.stop()
    await this.pds?.stop()
    await this.plc?.stop()
    this.dns?.stop()
    if (keep) console.log(`kept: ${this.directory}`)
    else if (this.directory) await rm(this.directory, { recursive: true, force: true })
  }
}

