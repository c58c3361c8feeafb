// com.atproto.sync.getRecord: proofs that verify and say what the PDS says.

import { METHODS } from '../contract.mjs'
import { refused } from '../expect.mjs'
import { sound } from '../car.mjs'
import { good } from '../http.mjs'

export async function proofs(world) {
  const { checks, orrery, people: { alice }, early, late } = world
  for (const [when, list] of [['in the stream', late], ['before the stream', early]]) {
    // The first three are what the part `records` changes and deletes.
    for (const record of list.slice(3)) await proven(world, `${record.name}, ${when}`, record)
  }
  const changed = early[3]
  await alice.put({ ...changed, record: { ...changed.record, text: 'another picture' } })
  await world.settle()
  await proven(world, 'changed after it was asked', changed)
  await alice.remove(changed)
  await world.settle()
  await absent(world, 'deleted after it was asked', changed)
  await alice.put(changed)
  await world.settle()
  await proven(world, 'made again', changed)
  await absent(world, 'never written', { collection: 'com.example.thing', rkey: 'never' })
  await proven(world, 'a commit later, another record', early[4])

  const params = { did: alice.did, collection: early[4].collection, rkey: early[4].rkey }
  for (const name of Object.keys(params)) {
    refused(checks, `no ${name}: refused`, await orrery.get(METHODS.proof, { ...params, [name]: undefined }), 'badRequest')
  }
  refused(checks, 'a DID that is none: refused', await orrery.get(METHODS.proof, { ...params, did: 'alice.test' }), 'badRequest')
}

async function proven(world, name, { collection, rkey }) {
  const { checks, orrery, pds, people: { alice } } = world
  const params = { did: alice.did, collection, rkey }
  const { value } = good(await pds.get(METHODS.getRecord, { repo: alice.did, collection, rkey }))
  for (const turn of ['first', 'again']) {
    const answer = await orrery.get(METHODS.proof, params)
    if (answer.status !== 200) {
      checks.fail(`${name}: proof, ${turn}`, JSON.stringify(answer.body))
      return
    }
    checks.equal(`${name}: proof's media type, ${turn}`, answer.type, 'application/vnd.ipld.car')
    const found = await sound(world, params, answer.body).catch((error) => error.message)
    checks.equal(`${name}: proof, ${turn}`, found, { found: true, value })
  }
}

/** Either a proof that it is not there, or a refusal. */
async function absent(world, name, { collection, rkey }) {
  const { checks, orrery, people: { alice } } = world
  const params = { did: alice.did, collection, rkey }
  const answer = await orrery.get(METHODS.proof, params)
  if (answer.status === 200) {
    const found = await sound(world, params, answer.body).catch((error) => error.message)
    checks.equal(`${name}: proof that it is not there`, found, { found: false })
  } else {
    refused(checks, `${name}: no proof`, answer, 'noProof')
  }
}
