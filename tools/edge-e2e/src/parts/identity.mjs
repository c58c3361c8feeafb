// Handles, DIDs, documents and services: as the PDS and the directory have them, before and after they change.

import { METHODS } from '../contract.mjs'
import { answers, refused } from '../expect.mjs'
import { good } from '../http.mjs'

export async function identity(world) {
  const { checks, orrery, pds, dns, people } = world
  for (const [name, person] of Object.entries(people)) await sameIdentity(world, name, person)

  const { dave } = people
  const old = dave.handle
  await dave.rename('david.test')
  await world.settle()
  await sameIdentity(world, 'a new handle', dave)
  refused(checks, 'the old handle', await orrery.get(METHODS.resolveHandle, { handle: old }), 'noHandle')
  checks.equal('the PDS knows the old handle no more', (await pds.get(METHODS.resolveHandle, { handle: old })).status, 400)

  // A name that points at somebody whose document names another handle is nobody's.
  dns.handles.set('liar.test', dave.did)
  refused(checks, 'a handle that its account does not claim', await orrery.get(METHODS.resolveHandle, { handle: 'liar.test' }), 'noHandle')
  // Two accounts by one name are none.
  dns.handles.set('both.test', [dave.did, people.alice.did])
  refused(checks, 'a handle of two accounts', await orrery.get(METHODS.resolveHandle, { handle: 'both.test' }), 'noHandle')
  refused(checks, 'a handle of nobody', await orrery.get(METHODS.resolveHandle, { handle: 'nobody.test' }), 'noHandle')
  refused(checks, 'a handle that is none', await orrery.get(METHODS.resolveHandle, { handle: 'not a handle' }), 'badRequest')

  // A claim that no name confirms.
  const { erin } = people
  await erin.rename(erin.handle)
  dns.handles.delete(erin.handle)
  await world.settle()
  const document = await world.plc.document(erin.did)
  const fields = { did: erin.did, ...(await dataOf(world.plc, document)), handle: 'handle.invalid' }
  answers(checks, 'an unconfirmed handle: mini doc by DID', await orrery.get(METHODS.miniDoc[0], { identifier: erin.did }), fields)
  refused(checks, 'an unconfirmed handle: mini doc by handle', await orrery.get(METHODS.miniDoc[0], { identifier: erin.handle }), 'badRequest')
  dns.handles.set(erin.handle, erin.did)

  const nobody = `did:plc:${'a'.repeat(24)}`
  refused(checks, 'a DID of nobody: document', await orrery.get(METHODS.resolveDid, { did: nobody }), 'noDid')
  refused(checks, 'a DID of nobody: mini doc', await orrery.get(METHODS.miniDoc[0], { identifier: nobody }), 'badRequest')
  const noService = await orrery.get(METHODS.resolveService, { did: dave.did, id: '#atproto_labeler' })
  refused(checks, 'a service that the account has not', noService, 'noService')
  await withoutDirectory(world)
}

/** A directory that is down: what is known is served, what is not is an error that says so. */
async function withoutDirectory(world) {
  const { checks, orrery, plc, people: { alice, bobby } } = world
  const get = (method, params) => orrery.get(method, params)
  const known = good(await get(METHODS.miniDoc[0], { identifier: alice.did }))
  plc.isDown = true
  try {
    answers(checks, 'without the directory: what is known, by DID', await get(METHODS.miniDoc[0], { identifier: alice.did }), known)
    answers(checks, 'without the directory: what is known, by handle', await get(METHODS.resolveHandle, { handle: alice.handle }), { did: alice.did })
    // An event says that it may have changed, and nobody can tell.
    await bobby.rename('bobby2.test')
    await world.settle()
    answers(checks, 'without the directory: an account that no event was about', await get(METHODS.miniDoc[0], { identifier: alice.did }), known)
    const unknown = { did: `did:plc:${'c'.repeat(24)}` }
    refused(checks, 'without the directory: a DID that nobody asked for', await get(METHODS.resolveDid, unknown), 'technical')
  } finally {
    plc.isDown = false
  }
  await sameIdentity(world, 'with the directory again', bobby)
}

/** The members of a mini doc that a document gives. A key in the old form is given in today's. */
async function dataOf(plc, document) {
  const pds = document.service.find((service) => service.id.endsWith('#atproto_pds')).serviceEndpoint
  const signing_key = (await plc.key(document.id)).replace('did:key:', '')
  const handle = document.alsoKnownAs[0].replace('at://', '')
  return { handle, pds, signing_key }
}

async function sameIdentity({ checks, orrery, pds, plc }, name, { did, handle }) {
  const document = await plc.document(did)
  const data = await dataOf(plc, document)
  checks.equal(`${name}: the directory has the handle`, data.handle, handle)
  answers(checks, `${name}: handle to DID`, await orrery.get(METHODS.resolveHandle, { handle }), good(await pds.get(METHODS.resolveHandle, { handle })))
  answers(checks, `${name}: handle in upper case to DID`, await orrery.get(METHODS.resolveHandle, { handle: handle.toUpperCase() }), { did })
  for (const method of METHODS.miniDoc) {
    for (const identifier of [did, handle]) {
      answers(checks, `${name}: ${method} of ${identifier === did ? 'the DID' : 'the handle'}`, await orrery.get(method, { identifier }), { did, ...data })
    }
  }
  answers(checks, `${name}: ${METHODS.resolveDid}`, await orrery.get(METHODS.resolveDid, { did }), { didDoc: document })
  for (const identifier of [did, handle]) {
    const what = `${name}: ${METHODS.resolveIdentity} of ${identifier === did ? 'the DID' : 'the handle'}`
    answers(checks, what, await orrery.get(METHODS.resolveIdentity, { identifier }), { did, handle, didDoc: document })
  }
  const service = { id: '#atproto_pds' }
  const endpoint = { endpoint: data.pds }
  answers(checks, `${name}: its PDS, by DID`, await orrery.get(METHODS.resolveService, { did, ...service }), endpoint)
  answers(checks, `${name}: its PDS, by handle`, await orrery.get(METHODS.resolveService, { did: handle, ...service }), endpoint)
  const typed = await orrery.get(METHODS.resolveService, { did, ...service, type: 'AtprotoPersonalDataServer' })
  answers(checks, `${name}: its PDS, by type too`, typed, endpoint)
  const wrong = await orrery.get(METHODS.resolveService, { did, ...service, type: 'AtprotoLabeler' })
  refused(checks, `${name}: its PDS as another type`, wrong, 'noService')
}
