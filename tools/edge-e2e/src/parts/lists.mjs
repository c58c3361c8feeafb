// com.atproto.repo.listRecords: the PDS's pages, with newer events applied.

import { METHODS } from '../contract.mjs'
import { refused, sameList } from '../expect.mjs'

export async function lists(world) {
  const { checks, orrery, people: { alice, carol } } = world
  const repo = alice.did
  for (const collection of ['com.example.thing', 'app.bsky.feed.post', 'app.bsky.graph.follow', 'com.example.nothing']) {
    await sameList(world, `${collection}`, { repo, collection })
    await sameList(world, `${collection} by handle`, { repo: alice.handle, collection })
    await sameList(world, `${collection} reversed`, { repo, collection, reverse: true })
    await sameList(world, `${collection} in pages of 3`, { repo, collection, limit: 3 })
    await sameList(world, `${collection} reversed in pages of 4`, { repo, collection, limit: 4, reverse: true })
  }
  await sameList(world, 'an account behind the proxy', { repo: carol.did, collection: 'com.example.thing', limit: 20 })

  // Each change alone, asked for at once after it.
  const collection = 'com.example.listed'
  const at = (rkey, n) => ({ collection, rkey, record: { $type: collection, n } })
  for (const rkey of ['b', 'd', 'f', 'h']) await alice.put(at(rkey, 1))
  await world.settle()
  await sameList(world, 'before changes', { repo, collection })
  for (const [what, change] of [
    ['a new first', () => alice.put(at('a', 1))],
    ['a new one between', () => alice.put(at('e', 1))],
    ['a new last', () => alice.put(at('z', 1))],
    ['a changed one', () => alice.put(at('d', 2))],
    ['a deleted one', () => alice.remove(at('f'))],
    ['a deleted last', () => alice.remove(at('z'))],
  ]) {
    await change()
    await world.settle()
    await sameList(world, what, { repo, collection })
    await sameList(world, `${what}, in pages of 2`, { repo, collection, limit: 2 })
    await sameList(world, `${what}, reversed`, { repo, collection, limit: 2, reverse: true })
  }
  await staleOrigin(world, at)

  for (const [what, params] of [
    ['no repo', { collection }],
    ['no collection', { repo }],
    ['limit=0', { repo, collection, limit: 0 }],
    ['limit=101', { repo, collection, limit: 101 }],
    ['a collection that is no NSID', { repo, collection: 'x' }],
  ]) {
    refused(checks, `${what}: refused`, await orrery.get(METHODS.listRecords, params), 'badRequest')
  }
}

/** A PDS that answers with an older page than the stream is: newer events are applied to it. */
async function staleOrigin(world, at) {
  const { proxy, pds, checks, orrery, people: { carol } } = world
  for (const rkey of ['b', 'd', 'f']) await carol.put(at(rkey, 1))
  await world.settle()
  const params = { repo: carol.did, collection: at().collection }
  const old = Buffer.from(JSON.stringify((await pds.get(METHODS.listRecords, params)).body))
  proxy.rules.set(METHODS.listRecords, async ({ give }) => give({ bytes: old }))
  await carol.remove(at('b'))
  await carol.put(at('c', 1))
  await carol.put(at('d', 2))
  await world.settle()
  const ours = await orrery.get(METHODS.listRecords, params)
  checks.equal('an origin that is behind the stream', ours.body.records, (await pds.get(METHODS.listRecords, params)).body.records)
  proxy.rules.delete(METHODS.listRecords)
}
