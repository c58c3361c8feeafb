// Records of every shape that a PDS takes: each written both before orrery's stream begins and within it.

const WHEN = '2026-11-01T12:00:00.000Z'
/** Base64 of the protocol's JSON: without padding. */
const BYTES = Buffer.from(Array.from({ length: 61 }, (_, n) => (n * 37) % 256)).toString('base64').replace(/=+$/, '')
const LINK = 'bafyreidfayvfuwqa7qlnopdjiqrxzs6blmoeu4rujcjtnci5beludirz2a'

/**
 * `[name, collection, rkey, record]` of each shape. `prefix` begins the record keys; `post` is a strong reference to
 * a post, `did` an account, `blob` a blob of the account that writes.
 */
export function shapes(prefix, { post, did, blob }) {
  const thing = 'com.example.thing'
  return [
    ['a post', 'app.bsky.feed.post', `${prefix}post`, { text: 'Grüße, 世界 👩‍🚀 \u0000 \u2028 "\\', langs: ['de'], createdAt: WHEN }],
    ['a like', 'app.bsky.feed.like', `${prefix}like`, { subject: post, createdAt: WHEN }],
    ['a follow', 'app.bsky.graph.follow', `${prefix}follow`, { subject: did, createdAt: WHEN }],
    ['a post with a blob', 'app.bsky.feed.post', `${prefix}image`, {
      text: 'a picture',
      embed: { $type: 'app.bsky.embed.images', images: [{ alt: '', image: blob }] },
      createdAt: WHEN,
    }],
    ['$bytes and $link', thing, `${prefix}data`, {
      bytes: { $bytes: BYTES },
      empty: { $bytes: '' },
      link: { $link: LINK },
      list: [{ $link: LINK }, { $bytes: 'AQID' }, null],
    }],
    ['numbers and nothing', thing, `${prefix}numbers`, {
      most: Number.MAX_SAFE_INTEGER,
      least: -Number.MAX_SAFE_INTEGER,
      zero: 0,
      no: false,
      none: null,
      empties: [{}, [], ''],
    }],
    ['names in odd order', thing, `${prefix}names`, { zz: 1, a: 2, 'a.b': 3, '': 4, B: 5, ü: 6, bb: { y: 1, x: 2 } }],
    ['deep', thing, `${prefix}deep`, { inner: Array.from({ length: 24 }).reduce((inner) => ({ inner: [inner] }), { end: did }) }],
    // The PDS takes 150 KiB of JSON.
    ['a large one', thing, `${prefix}large`, { text: 'Überlänge '.repeat(12_000), target: did }],
    ['a key of odd characters', thing, `${prefix}~-_.:A9`, { subject: did }],
    ['a key of 512 characters', thing, prefix + 'k'.repeat(512 - prefix.length), { subject: did }],
    ['a key that looks like a DID', thing, `did:${prefix}:x`, { subject: did }],
    ['a key of digits', thing, `${prefix.length}00000`, { subject: did }],
  ].map(([name, collection, rkey, record]) => ({ name, collection, rkey, record: { $type: collection, ...record } }))
}
