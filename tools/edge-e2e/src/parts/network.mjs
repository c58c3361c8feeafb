// That the network itself is what the other parts take it for: nothing here asks orrery.

import { Resolver } from 'node:dns/promises'
import { packages } from '../packages.mjs'
import { METHODS } from '../contract.mjs'
import { good } from '../http.mjs'
import { FALSE_PROOFS, sound } from '../car.mjs'

export async function network(world) {
  const { checks, pds, plc, dns, bridge, proxy, people, early, earlyOfCarol } = world
  const names = new Resolver({ tries: 1 })
  names.setServers([dns.address])
  for (const [name, person] of Object.entries(people)) {
    checks.equal(`${name}: the PDS resolves the handle`, good(await pds.get(METHODS.resolveHandle, { handle: person.handle })), { did: person.did })
    checks.equal(`${name}: its TXT record`, await names.resolveTxt(`_atproto.${person.handle}`), [[`did=${person.did}`]])
    checks.equal(`${name}: its address`, await names.resolve4(person.handle), ['127.0.0.1'])
    const document = await plc.document(person.did)
    const endpoint = document.service.find((service) => service.id === '#atproto_pds').serviceEndpoint
    checks.equal(`${name}: its document names its PDS`, endpoint, name === 'carol' ? proxy.url : pds.url)
    const kind = name === 'grace' ? 'EcdsaSecp256k1VerificationKey2019' : 'Multikey'
    checks.equal(`${name}: the form of its key`, document.verificationMethod[0]?.type, kind)
  }
  const nobody = await names.resolveTxt('_atproto.nobody.test').catch((error) => error.code)
  checks.equal('a name of nobody is not there', nobody, 'ENOTFOUND')

  for (const record of early) {
    const params = { did: people.alice.did, collection: record.collection, rkey: record.rkey }
    const { value } = good(await pds.get(METHODS.getRecord, { repo: params.did, ...params, did: undefined }))
    const proven = await sound(world, params, good(await pds.get(METHODS.proof, params)))
    checks.equal(`${record.name}: the PDS proves what it says`, proven, { found: true, value })
  }
  const none = { did: people.alice.did, collection: 'com.example.thing', rkey: 'never' }
  checks.equal('the PDS proves that a record is not there', await sound(world, none, good(await pds.get(METHODS.proof, none))), { found: false })

  // What the part `tampering` passes off as proofs proves nothing.
  const proofOf = async (did, { collection, rkey }) => good(await pds.get(METHODS.proof, { did, collection, rkey }))
  const [record, another] = earlyOfCarol
  const proof = await proofOf(people.carol.did, record)
  const material = {
    other: await proofOf(people.carol.did, another),
    stranger: await proofOf(people.alice.did, early[4]),
    isRecord: (value) => value.n === record.record.n && value.$type === record.collection,
  }
  const about = { did: people.carol.did, collection: record.collection, rkey: record.rkey }
  for (const [what, falsify] of FALSE_PROOFS) {
    const found = await sound(world, about, await falsify(proof, material)).catch(() => ({ found: 'nothing' }))
    checks.that(`a false proof proves nothing: ${what}`, found.found === 'nothing', found)
  }

  // What the bridge passes on is what the PDS has.
  bridge.forget()
  const { alice } = people
  const changed = { ...early[0], rkey: 'bridged', record: { ...early[0].record, text: 'bridged' } }
  const made = await alice.put(changed)
  await alice.put({ ...changed, record: { ...changed.record, text: 'bridged, changed' } })
  await alice.remove(changed)
  await alice.deactivate()
  await alice.activate()
  await alice.rename('alice2.test')
  await alice.rename('alice.test')
  await world.bridged()
  const told = bridge.events.map(({ text }) => JSON.parse(text)).filter((event) => event.did === alice.did)
  checks.equal('the bridge: kinds of events in order', told.map((event) => event.commit?.operation ?? (event.account ? `active ${event.account.active}` : event.identity?.handle ?? 'identity')), EVENTS)
  const { value, uri, cid } = { ...made, value: changed.record }
  checks.equal('the bridge: a record', told[0].commit.record, value)
  checks.equal('the bridge: its cid', `${told[0].commit.cid} ${uri}`, `${cid} at://${alice.did}/${changed.collection}/${changed.rkey}`)
  checks.that('the bridge: times rise', told.every((event, n) => n === 0 || event.time_us > told[n - 1].time_us))
  const subscriber = new packages.WebSocket(`${bridge.url}?cursor=${told[2].time_us}`)
  const first = await new Promise((done, failed) => subscriber.on('error', failed).once('message', (bytes) => done(JSON.parse(bytes))))
  subscriber.terminate()
  checks.equal('the bridge: a cursor is inclusive', first, told[2])

  checks.equal('the proxy passes on', good(await pds.get(METHODS.getRecord, { repo: people.carol.did, collection: earlyOfCarol[0].collection, rkey: 'c0' })).value, earlyOfCarol[0].record)
}

// The PDS tells the identity again with an activation.
const EVENTS = ['create', 'update', 'delete', 'active false', 'active true', 'alice.test', 'alice2.test', 'alice.test']
