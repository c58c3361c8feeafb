// getRecord and its by-URI forms: what the stream brought, what only the PDS has, updates, deletes, and refusals.

import { sleep } from '../check.mjs'
import { METHODS } from '../contract.mjs'
import { answers, noRecord, refused, sameRecord, uriOf } from '../expect.mjs'
import { good } from '../http.mjs'

export async function records(world) {
  const { checks, orrery, people: { alice }, early, late } = world
  const at = (record) => ({ did: alice.did, handle: alice.handle, collection: record.collection, rkey: record.rkey })

  for (const record of late) await sameRecord(world, `in the stream, ${record.name}`, at(record))
  // Twice: the second time what was fetched is there.
  for (const turn of ['first', 'again']) {
    for (const record of early) await sameRecord(world, `before the stream, ${record.name}, ${turn}`, at(record))
  }

  for (const [when, list] of [['in the stream', late], ['before the stream', early]]) {
    const [changed, removed, again] = list
    const old = await alice.reference(changed)
    await alice.put({ ...changed, record: { ...changed.record, text: `changed, ${when}` } })
    await world.settle()
    const { value } = await sameRecord(world, `changed, ${when}`, at(changed))
    checks.equal(`changed, ${when}: it is the new one`, value.text, `changed, ${when}`)
    const stale = await orrery.get(METHODS.getRecord, { repo: alice.did, collection: changed.collection, rkey: changed.rkey, cid: old.cid })
    refused(checks, `changed, ${when}: by the old cid`, stale, 'noRecord')

    await alice.remove(removed)
    await world.settle()
    await noRecord(world, `deleted, ${when}`, at(removed))

    await alice.remove(again)
    await alice.put(again)
    await world.settle()
    await sameRecord(world, `deleted and made again, ${when}`, at(again))
  }

  const one = { collection: 'com.example.thing', rkey: 'one' }
  const two = { collection: 'com.example.thing', rkey: 'two' }
  const create = ({ collection, rkey }, n) => ({ $type: 'com.atproto.repo.applyWrites#create', collection, rkey, value: { $type: collection, n } })
  await alice.write([create(one, 1), create(two, 2)])
  await world.settle()
  await sameRecord(world, 'two of one commit, the first', at(one))
  await sameRecord(world, 'two of one commit, the second', at(two))

  await noRecord(world, 'never written', { did: alice.did, collection: 'com.example.thing', rkey: 'never' })
  await badRequests(world, early[4])
  await deletedWhileFetched(world)
}

async function badRequests({ checks, orrery, people: { alice } }, record) {
  const { collection, rkey } = record
  const repo = alice.did
  for (const [what, params] of [
    ['no repo', { collection, rkey }],
    ['no collection', { repo, rkey }],
    ['no rkey', { repo, collection }],
    ['a repo that is no name', { repo: 'not a name', collection, rkey }],
    ['a collection that is no NSID', { repo, collection: 'thing', rkey }],
    ['a key that is none', { repo, collection, rkey: 'a b' }],
    ['the key ..', { repo, collection, rkey: '..' }],
    ['a cid that is none', { repo, collection, rkey, cid: 'nope' }],
    ['a handle of nobody', { repo: 'nobody.test', collection, rkey }],
  ]) {
    refused(checks, `${what}: refused`, await orrery.get(METHODS.getRecord, params), 'badRequest')
  }
  for (const at_uri of [undefined, 'https://x.example/', `at://${repo}`, `at://${repo}/${collection}`, `${uriOf({ did: repo, collection, rkey })}#x`]) {
    refused(checks, `at_uri ${at_uri}: refused`, await orrery.get(METHODS.byUri[0], { at_uri }), 'badRequest')
  }
}

/** A record that is deleted while its PDS still answers with it: who asks afterwards does not get it. */
async function deletedWhileFetched(world) {
  const { checks, orrery, proxy, people: { carol }, earlyOfCarol } = world
  const [record, changed] = earlyOfCarol
  for (const [what, one, change] of [
    ['deleted', record, () => carol.remove(record)],
    ['changed', changed, () => carol.put({ ...changed, record: { ...changed.record, text: 'changed meanwhile' } })],
  ]) {
    let release
    const held = new Promise((done) => (release = done))
    let isHeld
    const reached = new Promise((done) => (isHeld = done))
    proxy.rules.set(METHODS.getRecord, async ({ forward, give }) => {
      const old = await forward()
      isHeld()
      await held
      give(old)
    })
    const params = { repo: carol.did, collection: one.collection, rkey: one.rkey }
    const asked = orrery.get(METHODS.getRecord, params)
    const isFetched = await Promise.race([reached.then(() => true), asked.then(() => false)])
    if (!checks.that(`${what} while it is fetched: it is asked of the PDS`, isFetched, isFetched || (await asked).body)) {
      proxy.rules.delete(METHODS.getRecord)
      continue
    }
    await change()
    await world.settle()
    const later = orrery.get(METHODS.getRecord, params)
    // Long enough for it to be at orrery, where it may join the fetch.
    await sleep(200)
    release()
    await asked
    proxy.rules.delete(METHODS.getRecord)
    for (const [when, answer] of [['asked later, beside it', await later], ['asked after it', await orrery.get(METHODS.getRecord, params)]]) {
      const name = `${what} while it is fetched, ${when}`
      if (what === 'deleted') refused(checks, name, answer, 'noRecord')
      else answers(checks, name, answer, good(await world.pds.get(METHODS.getRecord, params)))
    }
  }
}
