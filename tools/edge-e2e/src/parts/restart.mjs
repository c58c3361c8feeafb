// Restarts: what changed while orrery was down is never served as it was, from the first answer on.

import { METHODS } from '../contract.mjs'
import { noRecord, refused, sameRecord } from '../expect.mjs'
import { sleep } from '../check.mjs'
import { sound } from '../car.mjs'
import { good } from '../http.mjs'

const COLLECTION = 'com.example.thing'

export async function restart(world) {
  // Of the records from before the stream, each round changes one and deletes one.
  await round(world, 'stopped', { signal: 'SIGTERM', early: world.early.slice(7, 9), person: world.people.ivan })
  await round(world, 'killed', { signal: 'SIGKILL', early: world.early.slice(9, 11), person: world.people.erin })
}

async function round(world, name, { signal, early, person }) {
  const { checks, orrery, people: { alice } } = world
  const at = ({ collection, rkey }) => ({ did: alice.did, handle: alice.handle, collection, rkey })
  const late = ['changes', 'goes', 'stays'].map((word) => {
    const rkey = `${signal}-${word}-told`
    return { collection: COLLECTION, rkey, record: { $type: COLLECTION, text: 'old' } }
  })
  for (const record of late) await alice.put(record)
  await world.settle()
  for (const record of [...early, ...late]) await sameRecord(world, `${name}: before, ${record.rkey.slice(0, 24)}`, at(record))
  const proof = { did: alice.did, collection: early[0].collection, rkey: early[0].rkey }
  checks.equal(`${name}: before, proof`, (await orrery.get(METHODS.proof, proof)).status, 200)
  await sameRecord(world, `${name}: before, of the account that goes`, { did: person.did, handle: person.handle, collection: COLLECTION, rkey: 'early' })

  const ended = await orrery.stop(signal)
  if (signal === 'SIGTERM') checks.equal(`${name}: it ended well`, ended, { code: 0, signal: null })
  const changed = [early[0], late[0]]
  const removed = [early[1], late[1]]
  for (const record of changed) await alice.put({ ...record, record: { ...record.record, text: 'new' } })
  for (const record of removed) await alice.remove(record)
  await person.deactivate()
  await world.bridged()
  await world.serve()

  // Asked without waiting, again and again until all is applied: an answer may be late, but not old.
  const old = []
  const newest = world.bridge.newest
  for (let turn = 0; turn < 200; turn += 1) {
    const isThrough = (await orrery.through()) >= newest
    for (const record of changed) {
      const { status, body } = await orrery.get(METHODS.getRecord, { repo: alice.did, collection: record.collection, rkey: record.rkey })
      if (status === 200 && body.value.text !== 'new') old.push({ turn, rkey: record.rkey })
    }
    for (const record of removed) {
      const { status } = await orrery.get(METHODS.getRecord, { repo: alice.did, collection: record.collection, rkey: record.rkey })
      if (status === 200) old.push({ turn, rkey: record.rkey })
    }
    {
      const { status } = await orrery.get(METHODS.getRecord, { repo: person.did, collection: COLLECTION, rkey: 'early' })
      if (status === 200) old.push({ turn, did: person.did })
    }
    if (isThrough) break
    await sleep(10)
  }
  checks.equal(`${name}: answers that were old`, old, [])
  await world.settle()
  for (const record of [...changed, late[2]]) await sameRecord(world, `${name}: after, ${record.rkey.slice(0, 24)}`, at(record))
  for (const record of removed) await noRecord(world, `${name}: after, ${record.rkey.slice(0, 24)}`, at(record))
  const answer = await orrery.get(METHODS.proof, proof)
  const { value } = good(await world.pds.get(METHODS.getRecord, { repo: alice.did, collection: proof.collection, rkey: proof.rkey }))
  const found = answer.status === 200 ? await sound(world, proof, answer.body).catch((error) => error.message) : answer.body
  checks.equal(`${name}: after, proof`, found, { found: true, value })
  {
    const hidden = await orrery.get(METHODS.getRecord, { repo: person.did, collection: COLLECTION, rkey: 'early' })
    refused(checks, `${name}: after, of the account that went`, hidden, 'noRecord')
  }
}
