// What orrery has without the edge cache: that the links of the PDS's records reach its index through the bridge.

import { METHODS } from '../contract.mjs'
import { good } from '../http.mjs'

export async function links(world) {
  const { checks, orrery, post, people: { alice, bobby, frank } } = world
  const likes = { subject: post.uri, source: 'app.bsky.feed.like:subject.uri' }
  const count = async () => good(await orrery.get(METHODS.backlinksCount, likes)).total
  const list = async () => good(await orrery.get(METHODS.backlinks, likes)).records
  const mine = { did: alice.did, collection: 'app.bsky.feed.like', rkey: 'llike' }
  checks.equal('the like in the stream is there, the one before it is not', await list(), [mine])
  const follows = { subject: bobby.did, source: 'app.bsky.graph.follow:subject' }
  checks.equal('so is the follow', good(await orrery.get(METHODS.backlinksCount, follows)).total, 1)

  const like = { collection: 'app.bsky.feed.like', rkey: 'frank', record: { $type: 'app.bsky.feed.like', subject: { uri: post.uri, cid: post.cid }, createdAt: '2026-11-01T12:00:00.000Z' } }
  const steps = [
    ['another like', () => frank.put(like), 2],
    ['its account deactivated', () => frank.deactivate(), 1],
    ['its account activated', () => frank.activate(), 2],
    ['its account taken down', () => frank.takedown(true), 1],
    ['its account restored', () => frank.takedown(false), 2],
    ['the like deleted', () => frank.remove(like), 1],
  ]
  for (const [what, step, expected] of steps) {
    await step()
    await world.settle()
    checks.equal(`${what}: likes`, await count(), expected)
  }
  const events = { ...world.bridge.counts }
  checks.that('the bridge passed on events of every kind', Object.values(events).every((n) => n > 0), events)
}
