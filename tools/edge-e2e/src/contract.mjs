// What the run takes for granted of orrery, in one place: flags, methods, error names, and where the members of
// answers are whose shape is orrery's own. Change it here when it changes there.

/** Flags of `serve` that the edge cache brings. */
export const FLAGS = {
  dns: '--dns',
  plc: '--plc',
  privateNetwork: '--allow-private-network',
  contact: '--contact',
}

export const CONTACT = 'mailto:edge-e2e@example.com'

/** The flags that point orrery at the stand-ins. */
export function edgeFlags({ dns, plc }) {
  return [FLAGS.dns, dns, FLAGS.plc, plc, FLAGS.privateNetwork, FLAGS.contact, CONTACT]
}

/** The did:web name under which orrery itself is a service, for calls that need no network hop. */
export const OWN_DOMAIN = 'orrery.test'
export const OWN_SERVICE = `did:web:${OWN_DOMAIN}#constellation`

export const HEALTH = { path: '/_health', through: 'indexed_through' }

export const METHODS = {
  getRecord: 'com.atproto.repo.getRecord',
  listRecords: 'com.atproto.repo.listRecords',
  proof: 'com.atproto.sync.getRecord',
  byUri: ['blue.microcosm.repo.getRecordByUri', 'com.bad-example.repo.getUriRecord'],
  resolveHandle: 'com.atproto.identity.resolveHandle',
  resolveDid: 'com.atproto.identity.resolveDid',
  resolveIdentity: 'com.atproto.identity.resolveIdentity',
  miniDoc: ['blue.microcosm.identity.resolveMiniDoc', 'com.bad-example.identity.resolveMiniDoc'],
  resolveService: 'com.bad-example.identity.resolveService',
  hydrateResponse: 'com.bad-example.proxy.hydrateQueryResponse',
  backlinks: 'blue.microcosm.links.getBacklinks',
  backlinksCount: 'blue.microcosm.links.getBacklinksCount',
  batchRecords: 'blue.orrery.repo.getRecords',
  batchCounts: 'blue.orrery.links.getCounts',
}

/** Status and error names of each kind of refusal: any of the names will do. */
export const REFUSALS = {
  badRequest: [[400], ['InvalidRequest']],
  noRecord: [[400], ['RecordNotFound']],
  noHandle: [[400], ['HandleNotFound']],
  noDid: [[400, 404], ['DidNotFound', 'InvalidRequest']],
  noService: [[400], ['ServiceNotFound']],
  // The record of a hidden account, or one that is gone, by a method whose lexicon has names for both.
  noProof: [[400, 404], ['RecordNotFound', 'RepoNotFound', 'RepoDeactivated', 'RepoTakendown', 'RepoSuspended']],
  noList: [[400, 404], ['RecordNotFound', 'RepoNotFound', 'RepoDeactivated', 'RepoTakendown', 'InvalidRequest']],
  // Somebody whom orrery had to ask did not answer.
  technical: [[500, 502, 503, 504], ['Failed', 'ServerError', 'ResolutionFailed', 'UpstreamFailure', 'UpstreamTimeout']],
  // The origin said that it is not to be asked now.
  retryLater: [[503], ['ServerOverloaded']],
  // The origin's answer cannot be used: wrong, unreadable, too large, too late, or elsewhere.
  badOrigin: [[500, 502, 504], ['ServerError', 'UpstreamFailure', 'UpstreamTimeout', 'InvalidProof', 'BadProof']],
}

/** Batch of records: what is sent, and `{status, uri, cid, value}` of each answer, in the order asked. */
export const batchRecords = {
  body: (uris) => ({ uris }),
  entries: (answer) => answer.records,
}

/** Batch of counts: what is sent, and the totals in the order asked. */
export const batchCounts = {
  body: (pairs) => ({ items: pairs.map(([subject, source]) => ({ subject, source })) }),
  totals: (answer) => answer.counts.map((count) => count.total),
}

/** `hydrate=true` of a list of backlinks: `{did, collection, rkey, status, cid, value}` of each. */
export function hydratedLinks(answer) {
  return answer.records.map(({ did, collection, rkey, status, cid, value }) => ({ did, collection, rkey, status, cid, value }))
}

/** The words for what became of a record that was to be hydrated. */
export const STATUS = { found: 'found', deleted: 'deleted', hidden: 'hidden', unavailable: 'unavailable' }
