// Accounts that are deactivated, taken down and deleted: what was asked before is not served any more, by any method.

import { METHODS } from '../contract.mjs'
import { noRecord, refused, sameRecord } from '../expect.mjs'

const COLLECTION = 'com.example.thing'

export async function accounts(world) {
  const { frank, grace, heidi } = world.people
  await hides(world, 'deactivated', frank, () => frank.deactivate(), () => frank.activate())
  await hides(world, 'taken down', grace, () => grace.takedown(true), () => grace.takedown(false))
  await hides(world, 'deleted', heidi, () => heidi.leave(), null)
}

async function hides(world, state, person, hide, show) {
  const { checks, orrery } = world
  const early = { collection: COLLECTION, rkey: 'early' }
  const late = { collection: COLLECTION, rkey: 'late', record: { $type: COLLECTION, subject: world.people.bobby.did } }
  await person.put(late)
  await world.settle()
  const all = [['before the stream', early], ['in the stream', late]]
  const at = ({ collection, rkey }) => ({ did: person.did, handle: person.handle, collection, rkey })
  for (const [when, record] of all) {
    await sameRecord(world, `to be ${state}, ${when}`, at(record))
    const proof = await orrery.get(METHODS.proof, { did: person.did, collection: COLLECTION, rkey: record.rkey })
    checks.equal(`to be ${state}, ${when}: proof`, proof.status, 200)
  }
  await hide()
  await world.settle()
  for (const [when, record] of all) {
    await noRecord(world, `${state}, ${when}`, at(record))
    const proof = await orrery.get(METHODS.proof, { did: person.did, collection: COLLECTION, rkey: record.rkey })
    refused(checks, `${state}, ${when}: proof`, proof, 'noProof')
  }
  refused(checks, `${state}: list`, await orrery.get(METHODS.listRecords, { repo: person.did, collection: COLLECTION }), 'noList')
  if (!show) return
  const doc = await orrery.get(METHODS.miniDoc[0], { identifier: person.did })
  checks.equal(`${state}: its identity is still there`, [doc.status, doc.body.handle], [200, person.handle])
  await show()
  await world.settle()
  for (const [when, record] of all) await sameRecord(world, `no longer ${state}, ${when}`, at(record))
}
