// A PDS that lies, breaks or hangs: what it says is refused, not kept, and nobody else's trouble.

import { createServer } from 'node:http'
import { sleep } from '../check.mjs'
import { METHODS } from '../contract.mjs'
import { answers, refused, uriOf } from '../expect.mjs'
import { FALSE_PROOFS, flipped, flips, sound } from '../car.mjs'
import { good } from '../http.mjs'

const CAR = 'application/vnd.ipld.car'
/** What one request may take: the limit of a request to an origin is 10 s. */
const LIMIT_MS = 15_000

export async function tampering(world) {
  // Records that nobody has asked for yet: the first two are of the part `records`, `next` gives the others.
  const rest = world.earlyOfCarol.slice(2)
  const next = () => {
    const record = rest.shift()
    if (!record) throw new Error('too few records: raise PROXIED in world.mjs')
    return record
  }
  try {
    await falseProofs(world, next)
    await oldProof(world, next())
    await falseRecords(world, next)
    await oneFetch(world, next())
    await retryAfter(world, [next(), next()])
  } finally {
    world.proxy.rules.clear()
  }
}

async function falseProofs(world, next) {
  const { checks, orrery, pds, proxy, people: { alice, carol }, early } = world
  const proofOf = async (did, { collection, rkey }) => good(await pds.get(METHODS.proof, { did, collection, rkey }))
  const other = await proofOf(carol.did, next())
  const stranger = await proofOf(alice.did, early[4])
  const ask = ({ collection, rkey }) => orrery.get(METHODS.proof, { did: carol.did, collection, rkey })
  const truth = async (name, record) => {
    proxy.rules.delete(METHODS.proof)
    const answer = await ask(record)
    const params = { did: carol.did, collection: record.collection, rkey: record.rkey }
    const found = answer.status === 200 ? await sound(world, params, answer.body).catch((error) => error.message) : answer.body
    checks.equal(`${name}: the true proof is served afterwards`, found, { found: true, value: record.record })
  }
  for (const [what, falsify] of FALSE_PROOFS) {
    const record = next()
    const isRecord = (value) => value.n === record.record.n && value.$type === record.collection
    const bytes = Buffer.from(await falsify(await proofOf(carol.did, record), { other, stranger, isRecord }))
    proxy.rules.set(METHODS.proof, async ({ give }) => give({ type: CAR, bytes }))
    refused(checks, `a proof that is false, ${what}`, await ask(record), 'badOrigin')
    await truth(`a proof that is false, ${what}`, record)
  }
  const record = next()
  const proof = await proofOf(carol.did, record)
  const taken = []
  const places = flips(proof, 40)
  for (const place of places) {
    proxy.rules.set(METHODS.proof, async ({ give }) => give({ type: CAR, bytes: flipped(proof, place) }))
    const answer = await ask(record)
    if (answer.status < 400 || !answer.body?.error) taken.push({ place, status: answer.status })
  }
  checks.that(`a proof with one bit flipped, at ${places.length} places: refused each time`, taken.length === 0, taken)
  await truth('a proof with one bit flipped', record)
}

/** A true proof of what was, after the stream told of what is. */
async function oldProof(world, record) {
  const { checks, orrery, pds, proxy, people: { carol } } = world
  const params = { did: carol.did, collection: record.collection, rkey: record.rkey }
  const old = good(await pds.get(METHODS.proof, params))
  await carol.put({ ...record, record: { ...record.record, text: 'newer' } })
  await world.settle()
  proxy.rules.set(METHODS.proof, async ({ give }) => give({ type: CAR, bytes: old }))
  refused(checks, 'a proof that is older than the stream', await orrery.get(METHODS.proof, params), 'badOrigin')
  proxy.rules.delete(METHODS.proof)
}

async function falseRecords(world, next) {
  const { checks, orrery, proxy, people: { alice, carol } } = world
  const json = (value, more) => ({ give }) => give({ bytes: Buffer.from(JSON.stringify(value)), ...more })
  const changed = (change) => async ({ forward, give }) => {
    const answer = await forward()
    give({ bytes: Buffer.from(JSON.stringify(change(JSON.parse(answer.bytes)))) })
  }
  let hits = 0
  const elsewhere = createServer((_, response) => { hits += 1; response.end('{}') })
  await new Promise((done) => elsewhere.listen(0, '127.0.0.1', done))
  const redirect = (location) => async ({ give }) => give({ status: 302, headers: { location }, bytes: '' })
  const text = { status: 400, type: 'text/plain', bytes: 'no' }

  const cases = [
    ['another value under the cid', changed((answer) => ({ ...answer, value: { ...answer.value, n: -1 } }))],
    ['another cid', changed((answer) => ({ ...answer, cid: 'bafyreidfayvfuwqa7qlnopdjiqrxzs6blmoeu4rujcjtnci5beludirz2a' }))],
    ['a cid that is none', changed((answer) => ({ ...answer, cid: 'nope' }))],
    ['the uri of another record', changed((answer) => ({ ...answer, uri: `${answer.uri}x` }))],
    ['the uri of another account', changed((answer) => ({ ...answer, uri: answer.uri.replace(carol.did, alice.did) }))],
    ['no uri', changed(({ cid, value }) => ({ cid, value }))],
    ['no value', changed(({ uri, cid }) => ({ uri, cid }))],
    ['a value that is no object', changed((answer) => ({ ...answer, value: 'text' }))],
    ['a list', async (exchange) => json([])(exchange)],
    ['no JSON', async ({ give }) => give({ bytes: 'not json' })],
    ['half a JSON', async ({ forward, give }) => give({ bytes: (await forward()).bytes.subarray(0, 40) })],
    ['nothing', async ({ give }) => give({ bytes: '' })],
    ['400 without an error object', async ({ give }) => give(text)],
    ['404', async (exchange) => json({ error: 'NotFound', message: 'no' }, { status: 404 })(exchange), 'noRecord'],
    ['500', async (exchange) => json({ error: 'Broken', message: 'no' }, { status: 500 })(exchange)],
    ['a redirect to loopback', redirect(`http://127.0.0.1:${elsewhere.address().port}/`)],
    ['a redirect to a metadata address', redirect('http://169.254.169.254/latest/meta-data/')],
    ['a connection that breaks', async ({ response }) => response.destroy()],
    ['a body without end', async ({ response }) => endless(response)],
    ['no answer', async () => {}],
  ]
  for (const [what, rule, kind = 'badOrigin'] of cases) {
    const { collection, rkey, record } = next()
    const params = { repo: carol.did, collection, rkey }
    proxy.rules.set(METHODS.getRecord, rule)
    const begun = Date.now()
    const asked = orrery.get(METHODS.getRecord, params)
    if (what === 'no answer') await others(world)
    const answer = await asked
    const took = Date.now() - begun
    refused(checks, `a PDS that gives ${what}`, answer, kind)
    checks.that(`a PDS that gives ${what}: within the time limit`, took < LIMIT_MS, `${took} ms`)
    proxy.rules.delete(METHODS.getRecord)
    const after = await orrery.get(METHODS.getRecord, params)
    checks.equal(`a PDS that gives ${what}: the truth is served afterwards`, after.body.value ?? after.body, record)
  }
  elsewhere.close()
  checks.equal('redirects were not followed', hits, 0)

  // An error object of the PDS keeps its name.
  const own = next()
  proxy.rules.set(METHODS.getRecord, async (exchange) => json({ error: 'OwnError', message: 'its reason' }, { status: 400 })(exchange))
  const answer = await orrery.get(METHODS.getRecord, { repo: carol.did, collection: own.collection, rkey: own.rkey })
  checks.equal('an error object of the PDS: its name', [answer.status, answer.body.error], [400, 'OwnError'])
  // A PDS may leave the cid out: ours is then the record's.
  const bare = next()
  proxy.rules.set(METHODS.getRecord, changed(({ uri, value }) => ({ uri, value })))
  const params = { repo: carol.did, collection: bare.collection, rkey: bare.rkey }
  const filled = await orrery.get(METHODS.getRecord, params)
  proxy.rules.delete(METHODS.getRecord)
  answers(checks, 'a PDS that gives no cid', filled, good(await world.pds.get(METHODS.getRecord, params)))
}

/** While one PDS hangs, what others have is served. */
async function others({ checks, orrery, people: { alice }, early }) {
  const begun = Date.now()
  const { collection, rkey } = early[5]
  const answer = await orrery.get(METHODS.byUri[0], { at_uri: uriOf({ did: alice.did, collection, rkey }) })
  const took = Date.now() - begun
  checks.that('while one PDS hangs, another one answers', answer.status === 200 && took < 1000, { status: answer.status, took })
}

function endless(response) {
  response.writeHead(200, { 'content-type': 'application/json' })
  response.write('{"uri":"')
  const chunk = Buffer.alloc(1 << 16, 0x61)
  const more = () => {
    while (!response.destroyed && response.write(chunk));
  }
  response.on('drain', more)
  more()
}

/** However many ask at once for what nobody has, the PDS is asked once. */
async function oneFetch(world, { collection, rkey, record }) {
  const { checks, orrery, proxy, people: { carol } } = world
  const before = proxy.count(METHODS.getRecord)
  proxy.rules.set(METHODS.getRecord, async ({ forward, give }) => {
    const answer = await forward()
    setTimeout(() => give(answer), 300)
  })
  const asked = Array.from({ length: 100 }, () => orrery.get(METHODS.getRecord, { repo: carol.did, collection, rkey }))
  const wrong = (await Promise.all(asked)).filter(({ status, body }) => status !== 200 || body.value.n !== record.n)
  checks.equal('100 who ask at once: all are answered', wrong.length, 0)
  checks.equal('100 who ask at once: requests to the PDS', proxy.count(METHODS.getRecord) - before, 1)
  const agents = new Set(proxy.requests.slice(-1).map(({ headers }) => headers['user-agent']))
  checks.that('requests say who asks', [...agents].every((agent) => /^orrery\/\S+ \(.*edge-e2e@example\.com.*\)$/.test(agent)), [...agents])
}

/** A PDS that says when to come again is not asked before, whatever for. */
async function retryAfter(world, [first, second]) {
  const { checks, orrery, proxy, people: { carol } } = world
  const ask = ({ collection, rkey }) => orrery.get(METHODS.getRecord, { repo: carol.did, collection, rkey })
  proxy.rules.set(METHODS.getRecord, async ({ give }) => give({ status: 429, headers: { 'retry-after': '3' }, bytes: '{"error":"RateLimitExceeded","message":"wait"}' }))
  refused(checks, 'Retry-After: the first one', await ask(first), 'retryLater')
  const before = proxy.requests.length
  proxy.rules.delete(METHODS.getRecord)
  refused(checks, 'Retry-After: another one, before the time', await ask(second), 'retryLater')
  checks.equal('Retry-After: requests before the time', proxy.requests.length - before, 0)
  await sleep(3500)
  checks.equal('Retry-After: after the time', (await ask(second)).body.value, second.record)
}
