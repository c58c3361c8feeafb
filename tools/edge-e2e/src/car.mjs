// Proofs of records (CAR files): verified by @atproto/repo, and falsified.

import { packages } from './packages.mjs'

const { readCarWithRoot, blocksToCarFile, BlockMap, verifyRecords, verifyProofs, lexToJson, cborToLex, signCommit, Secp256k1Keypair } = packages

/** Verifies a proof, whichever it is: `{found: true, value}` or `{found: false}`. Throws where it proves nothing. */
export async function sound(world, { did, collection, rkey }, bytes) {
  const key = await world.plc.key(did)
  const records = await verifyRecords(new Uint8Array(bytes), did, key)
  const mine = records.find((record) => record.collection === collection && record.rkey === rkey)
  if (mine) return { found: true, value: lexToJson(mine.record) }
  const { verified } = await verifyProofs(new Uint8Array(bytes), [{ collection, rkey, cid: null }], did, key)
  if (verified.length !== 1) throw new Error('neither there nor proven absent')
  return { found: false }
}

async function blocksOf(bytes) {
  const { root, blocks } = await readCarWithRoot(new Uint8Array(bytes))
  return { root, blocks }
}

/** The block of a record among those of a proof. */
function recordBlock(blocks, isRecord) {
  for (const [cid, bytes] of blocks) {
    const value = cborToLex(bytes)
    if (isRecord(value)) return { cid, bytes, value }
  }
  throw new Error('the proof has no such record')
}

/** `[what, async (proof, {other, stranger, isRecord}) => bytes]`: proofs that are none, made of one that is. */
export const FALSE_PROOFS = [
  ['another record of the account', async (_, { other }) => other],
  ['a record of another account', async (_, { stranger }) => stranger],
  ['a record that is changed in its place', async (proof, { isRecord }) => {
    const { root, blocks } = await blocksOf(proof)
    const { cid, value } = recordBlock(blocks, isRecord)
    const forged = new BlockMap()
    const changed = await forged.add({ ...value, n: 1_000_000 })
    blocks.set(cid, forged.get(changed))
    return blocksToCarFile(root, blocks)
  }],
  ['a changed record beside the true tree', async (proof, { isRecord }) => {
    const { root, blocks } = await blocksOf(proof)
    const { cid, value } = recordBlock(blocks, isRecord)
    blocks.delete(cid)
    await blocks.add({ ...value, n: 1_000_000 })
    return blocksToCarFile(root, blocks)
  }],
  ['no record block', async (proof, { isRecord }) => {
    const { root, blocks } = await blocksOf(proof)
    blocks.delete(recordBlock(blocks, isRecord).cid)
    return blocksToCarFile(root, blocks)
  }],
  ['no tree', async (proof, { isRecord }) => {
    const { root, blocks } = await blocksOf(proof)
    const kept = new BlockMap()
    kept.set(root, blocks.get(root))
    const { cid, bytes } = recordBlock(blocks, isRecord)
    kept.set(cid, bytes)
    return blocksToCarFile(root, kept)
  }],
  ['a commit signed by another key', async (proof) => {
    const { root, blocks } = await blocksOf(proof)
    const { sig: _, ...unsigned } = cborToLex(blocks.get(root))
    const forged = await signCommit(unsigned, await Secp256k1Keypair.create())
    blocks.delete(root)
    return blocksToCarFile(await blocks.add(forged), blocks)
  }],
  ['a commit without signature', async (proof) => {
    const { root, blocks } = await blocksOf(proof)
    const { sig: _, ...unsigned } = cborToLex(blocks.get(root))
    blocks.delete(root)
    return blocksToCarFile(await blocks.add(unsigned), blocks)
  }],
  ['a commit that names another account', async (proof) => {
    const { root, blocks } = await blocksOf(proof)
    const commit = cborToLex(blocks.get(root))
    blocks.delete(root)
    return blocksToCarFile(await blocks.add({ ...commit, did: `did:plc:${'b'.repeat(24)}` }), blocks)
  }],
  ['the record as the root', async (proof, { isRecord }) => {
    const { blocks } = await blocksOf(proof)
    return blocksToCarFile(recordBlock(blocks, isRecord).cid, blocks)
  }],
  ['half of it', async (proof) => proof.subarray(0, proof.length >> 1)],
  ['all but its last byte', async (proof) => proof.subarray(0, proof.length - 1)],
  ['nothing', async () => Buffer.alloc(0)],
  ['no CAR', async () => Buffer.from('{"error":"none"}')],
]

/** Places of the bytes to flip: of the header, and some all over. */
export function flips(proof, count) {
  const places = new Set([0, 1, 2, 12, proof.length - 1])
  for (let n = 0; n < count; n += 1) places.add(Math.floor((proof.length * n) / count))
  return [...places]
}

export function flipped(proof, place) {
  const bytes = Buffer.from(proof)
  bytes[place] ^= 1 << place % 8
  return bytes
}
