// Comparisons of orrery's answers with the PDS's, and of refusals with the contract.

import { METHODS, REFUSALS } from './contract.mjs'
import { good } from './http.mjs'

export const uriOf = ({ did, collection, rkey }) => `at://${did}/${collection}/${rkey}`

/** A CID that no record of the run has. */
export const OTHER_CID = 'bafyreidfayvfuwqa7qlnopdjiqrxzs6blmoeu4rujcjtnci5beludirz2a'

/** The answer is an error object of one of the kinds. */
export function refused(checks, what, answer, ...kinds) {
  const isKind = ([statuses, names]) => statuses.includes(answer.status) && names.includes(answer.body?.error)
  const isTold = typeof answer.body?.message === 'string' && answer.body.message !== ''
  const wanted = kinds.map((kind) => REFUSALS[kind])
  return checks.that(what, isTold && wanted.some(isKind), { status: answer.status, body: answer.body, wanted })
}

/** The answer is 200 with this body. */
export function answers(checks, what, answer, expected) {
  checks.equal(what, { status: answer.status, body: answer.body }, { status: 200, body: expected })
}

/** orrery gives a record as its PDS does, by every method and form of asking. */
export async function sameRecord({ checks, orrery, pds }, name, { did, handle, collection, rkey }) {
  const theirs = good(await pds.get(METHODS.getRecord, { repo: did, collection, rkey }))
  const get = (more) => orrery.get(METHODS.getRecord, { collection, rkey, ...more })
  answers(checks, `${name}: by DID`, await get({ repo: did }), theirs)
  answers(checks, `${name}: by handle`, await get({ repo: handle }), theirs)
  answers(checks, `${name}: with its cid`, await get({ repo: did, cid: theirs.cid }), theirs)
  refused(checks, `${name}: with another cid`, await get({ repo: did, cid: OTHER_CID }), 'noRecord')
  for (const method of METHODS.byUri) {
    const byUri = (authority, cid) => orrery.get(method, { at_uri: `at://${authority}/${collection}/${rkey}`, cid })
    answers(checks, `${name}: ${method}`, await byUri(did), theirs)
    answers(checks, `${name}: ${method} by handle, with its cid`, await byUri(handle, theirs.cid), theirs)
    refused(checks, `${name}: ${method} with another cid`, await byUri(did, OTHER_CID), 'noRecord')
  }
  return theirs
}

/** orrery has no such record, by any method, and neither has the PDS. */
export async function noRecord({ checks, orrery, pds }, name, { did, collection, rkey }) {
  const theirs = await pds.get(METHODS.getRecord, { repo: did, collection, rkey })
  checks.that(`${name}: the PDS has none either`, theirs.status === 400, theirs.body)
  refused(checks, `${name}: ${METHODS.getRecord}`, await orrery.get(METHODS.getRecord, { repo: did, collection, rkey }), 'noRecord')
  for (const method of METHODS.byUri) {
    refused(checks, `${name}: ${method}`, await orrery.get(method, { at_uri: uriOf({ did, collection, rkey }) }), 'noRecord')
  }
}

/** orrery's list is the PDS's, page by page. */
export async function sameList({ checks, orrery, pds }, name, params) {
  let cursor
  let pages = 0
  do {
    const asked = { ...params, cursor }
    const theirs = good(await pds.get(METHODS.listRecords, asked))
    const ours = await orrery.get(METHODS.listRecords, asked)
    pages += 1
    checks.equal(`${name}: page ${pages}`, { status: ours.status, records: ours.body.records }, { status: 200, records: theirs.records })
    cursor = theirs.cursor
    // Cursors are each server's own; that of the PDS is taken by both only where both pages agree on it.
    checks.equal(`${name}: page ${pages}, whether there is more`, Boolean(ours.body.cursor), Boolean(cursor))
    if (ours.body.cursor !== cursor && cursor) {
      checks.fail(`${name}: page ${pages}, its cursor`, `found ${ours.body.cursor}, expected ${cursor}`)
      return
    }
  } while (cursor && pages < 20)
}
