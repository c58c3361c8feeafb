// Many at once: hydrated backlinks, batches, and another service's answer with the records that it names.

import { createServer } from 'node:http'
import { batchCounts, batchRecords, hydratedLinks, METHODS, OWN_SERVICE, STATUS } from '../contract.mjs'
import { refused, uriOf } from '../expect.mjs'
import { good } from '../http.mjs'

const THING = 'com.example.thing'

export async function batches(world) {
  await hydrated(world)
  await recordsAtOnce(world)
  await countsAtOnce(world)
  await ownService(world)
  await otherService(world)
}

const truth = async ({ pds }, { did, collection, rkey }) => good(await pds.get(METHODS.getRecord, { repo: did, collection, rkey }))

/** Backlinks with the records that link. */
async function hydrated(world) {
  const { checks, orrery, people: { bobby } } = world
  const asked = { subject: bobby.did, source: `${THING}:subject`, limit: 100 }
  const plain = good(await orrery.get(METHODS.backlinks, asked))
  checks.that('there are backlinks to hydrate', plain.records.length >= 2, plain)
  const answer = await orrery.get(METHODS.backlinks, { ...asked, hydrate: true })
  if (answer.status !== 200) {
    checks.fail('hydrate=true', JSON.stringify(answer.body))
    return
  }
  checks.equal('hydrate=true: as many in all', answer.body.total, plain.total)
  const links = hydratedLinks(answer.body)
  checks.equal('hydrate=true: the same links', links.map(({ did, collection, rkey }) => ({ did, collection, rkey })), plain.records)
  for (const link of links) {
    const { cid, value } = await truth(world, link)
    checks.equal(`hydrate=true: ${link.rkey.slice(0, 20)}`, { status: link.status, cid: link.cid, value: link.value }, { status: STATUS.found, cid, value })
  }
}

async function recordsAtOnce(world) {
  const { checks, orrery, proxy, people: { alice, bobby, carol, ivan }, early, late, earlyOfCarol } = world
  const gone = { collection: THING, rkey: 'gone', record: { $type: THING, subject: bobby.did } }
  await alice.put(gone)
  await alice.remove(gone)
  await ivan.deactivate()
  await world.settle()
  proxy.rules.set(METHODS.getRecord, async ({ give }) => give({ status: 500, bytes: '{}' }))
  const of = ({ did }, { collection, rkey }) => ({ did, collection, rkey })
  const wanted = [
    [STATUS.found, of(alice, late[5])],
    [STATUS.deleted, of(alice, gone)],
    [STATUS.found, of(alice, early[6])],
    [STATUS.hidden, of(ivan, { collection: THING, rkey: 'early' })],
    [STATUS.unavailable, of(carol, earlyOfCarol.at(-1))],
    [STATUS.found, of(alice, early[9])],
  ]
  const answer = await orrery.post(METHODS.batchRecords, batchRecords.body(wanted.map(([, record]) => uriOf(record))))
  proxy.rules.delete(METHODS.getRecord)
  await ivan.activate()
  await world.settle()
  if (answer.status !== 200) {
    checks.fail('a batch of records', JSON.stringify(answer.body))
    return
  }
  const entries = batchRecords.entries(answer.body)
  checks.equal('a batch of records: how many', entries.length, wanted.length)
  for (const [n, [status, record]] of wanted.entries()) {
    const { cid, value } = status === STATUS.found ? await truth(world, record) : {}
    const found = entries[n] && { uri: entries[n].uri, status: entries[n].status, cid: entries[n].cid, value: entries[n].value }
    checks.equal(`a batch of records: number ${n}, ${status}`, found, { uri: uriOf(record), status, cid, value })
  }
  const many = Array.from({ length: 101 }, (_, n) => `at://${alice.did}/${THING}/x${n}`)
  refused(checks, 'a batch of 101 records', await orrery.post(METHODS.batchRecords, batchRecords.body(many)), 'badRequest')
  refused(checks, 'a batch that is none', await orrery.post(METHODS.batchRecords, { uris: 'x' }), 'badRequest')
}

async function countsAtOnce({ checks, orrery, post, people: { bobby } }) {
  const pairs = [
    [post.uri, 'app.bsky.feed.like:subject.uri'],
    [bobby.did, 'app.bsky.graph.follow:subject'],
    [bobby.did, 'com.example.nothing:subject'],
  ]
  const single = []
  for (const [subject, source] of pairs) single.push(good(await orrery.get(METHODS.backlinksCount, { subject, source })).total)
  const answer = await orrery.post(METHODS.batchCounts, batchCounts.body(pairs))
  if (answer.status === 200) checks.equal('a batch of counts', batchCounts.totals(answer.body), single)
  else checks.fail('a batch of counts', JSON.stringify(answer.body))
}

/** hydrateQueryResponse of orrery's own service: no hop. */
async function ownService(world) {
  const { checks, orrery, people: { bobby } } = world
  const params = { subject: bobby.did, source: `${THING}:subject` }
  const output = good(await orrery.get(METHODS.backlinks, params))
  const answer = await orrery.post(METHODS.hydrateResponse, {
    xrpc: METHODS.backlinks,
    atproto_proxy: OWN_SERVICE,
    params,
    hydration_sources: [{ path: 'records[]', shape: 'at-uri-parts' }],
  })
  await hydratedResponse(world, 'hydrateQueryResponse of our own service', answer, output, output.records)
  checks.that('hydrateQueryResponse of our own service: there was something', output.records.length > 0)
}

/** hydrateQueryResponse of a service elsewhere: its document, its answer, what it was sent. */
async function otherService(world) {
  const { checks, orrery, proxy, people: { alice, carol }, late, early } = world
  const records = [late[5], early[7]].map(({ collection, rkey }) => ({ did: alice.did, collection, rkey }))
  const output = { feed: [] }
  for (const record of records) {
    const { uri, cid } = await truth(world, record)
    output.feed.push({ post: { uri, cid } })
  }
  const seen = []
  const service = createServer((request, response) => {
    seen.push({ url: request.url, headers: request.headers })
    const isDocument = request.url === '/.well-known/did.json'
    const host = `localhost:${service.address().port}`
    const document = {
      '@context': ['https://www.w3.org/ns/did/v1'],
      id: `did:web:${host.replace(':', '%3A')}`,
      service: [{ id: '#feeds', type: 'FeedService', serviceEndpoint: `http://${host}` }],
    }
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(isDocument ? document : output))
  })
  await new Promise((done) => service.listen(0, '127.0.0.1', done))
  const before = proxy.requests.length
  const answer = await orrery.post(METHODS.hydrateResponse, {
    xrpc: 'com.example.feed.get',
    atproto_proxy: `did:web:localhost%3A${service.address().port}#feeds`,
    params: { limit: 2, actor: carol.did },
    hydration_sources: [{ path: 'feed[].post', shape: 'strong-ref' }],
    authorization: 'Bearer for-the-service-only',
    atproto_accept_labelers: alice.did,
  })
  service.close()
  await hydratedResponse(world, 'hydrateQueryResponse of another service', answer, output, records)
  const call = seen.find(({ url }) => url.startsWith('/xrpc/com.example.feed.get'))
  const query = call && Object.fromEntries(new URL(call.url, 'http://x').searchParams)
  checks.equal('hydrateQueryResponse: its parameters', query, { limit: '2', actor: carol.did })
  checks.equal('hydrateQueryResponse: the authorization', call?.headers.authorization, 'Bearer for-the-service-only')
  checks.equal('hydrateQueryResponse: the labelers', call?.headers['atproto-accept-labelers'], alice.did)
  const others = [...seen.filter((request) => request !== call), ...proxy.requests.slice(before)]
  checks.that('hydrateQueryResponse: nobody else gets the authorization', others.every(({ headers }) => headers.authorization === undefined), others)
}

async function hydratedResponse(world, name, answer, output, records) {
  const { checks } = world
  if (answer.status !== 200) {
    checks.fail(name, JSON.stringify(answer.body))
    return
  }
  checks.equal(`${name}: the output`, answer.body.output, output)
  for (const record of records) {
    const { uri, cid, value } = await truth(world, record)
    const found = answer.body.records[uri]
    checks.equal(`${name}: ${record.rkey.slice(0, 20)}`, found && { uri: found.uri, cid: found.cid, value: found.value }, { uri, cid, value })
  }
}
