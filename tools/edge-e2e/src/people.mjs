// Accounts at the PDS, as their owners use them.

import { call, good, query } from './http.mjs'

export class Person {
  /** Makes an account, and gives its handle a TXT record. */
  static async join(pds, dns, name) {
    const handle = `${name}.test`
    const made = good(await call(pds.url, 'com.atproto.server.createAccount', {
      handle, email: `${name}@example.com`, password: `password-of-${name}`,
    }))
    dns.handles.set(handle, made.did)
    return new Person(pds, dns, made.did, handle, made.accessJwt)
  }

  constructor(pds, dns, did, handle, token) {
    Object.assign(this, { pds, dns, did, handle, token })
  }

  async ask(nsid, body, headers = {}) {
    return good(await call(this.pds.url, nsid, body, { authorization: `Bearer ${this.token}`, ...headers }))
  }

  /** Makes or changes a record. Gives `{uri, cid}`. */
  async put({ collection, rkey, record }) {
    // A type that the PDS does not know is taken as it is; one that it knows is checked.
    const { uri, cid } = await this.ask('com.atproto.repo.putRecord', { repo: this.did, collection, rkey, record })
    return { uri, cid }
  }

  async remove({ collection, rkey }) {
    await this.ask('com.atproto.repo.deleteRecord', { repo: this.did, collection, rkey })
  }

  /** Several writes in one commit. */
  async write(writes) {
    await this.ask('com.atproto.repo.applyWrites', { repo: this.did, writes })
  }

  async blob(bytes, type) {
    return (await this.ask('com.atproto.repo.uploadBlob', bytes, { 'content-type': type })).blob
  }

  async rename(handle) {
    await this.ask('com.atproto.identity.updateHandle', { handle })
    this.dns.handles.delete(this.handle)
    this.dns.handles.set(handle, this.did)
    this.handle = handle
  }

  deactivate() {
    return this.ask('com.atproto.server.deactivateAccount', {})
  }

  activate() {
    return this.ask('com.atproto.server.activateAccount')
  }

  async takedown(applied) {
    const subject = { $type: 'com.atproto.admin.defs#repoRef', did: this.did }
    await this.pds.admin('com.atproto.admin.updateSubjectStatus', { subject, takedown: { applied } })
  }

  async leave() {
    await this.pds.admin('com.atproto.admin.deleteAccount', { did: this.did })
    this.dns.handles.delete(this.handle)
  }

  /** The strong reference of a record. */
  async reference({ collection, rkey }) {
    const { uri, cid } = good(await query(this.pds.url, 'com.atproto.repo.getRecord', { repo: this.did, collection, rkey }))
    return { uri, cid }
  }
}
