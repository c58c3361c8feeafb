// Runs the parts one after the other and says what held. Usage: see ../run, which gives --program and --only.

import { parseArgs } from 'node:util'
import { Checks } from './check.mjs'
import { World } from './world.mjs'
import { accounts } from './parts/accounts.mjs'
import { batches } from './parts/batches.mjs'
import { identity } from './parts/identity.mjs'
import { links } from './parts/links.mjs'
import { lists } from './parts/lists.mjs'
import { network } from './parts/network.mjs'
import { proofs } from './parts/proofs.mjs'
import { records } from './parts/records.mjs'
import { restart } from './parts/restart.mjs'
import { tampering } from './parts/tampering.mjs'

// In this order: each may count on what those before it left, but for --only none needs another.
const PARTS = { network, links, records, proofs, lists, identity, batches, tampering, accounts, restart }
/** Parts that need nothing of the edge cache. */
const WITHOUT_EDGE = ['network', 'links']

const { values } = parseArgs({
  options: { program: { type: 'string' }, only: { type: 'string', default: '' }, keep: { type: 'boolean', default: false } },
})
const wanted = values.only ? values.only.split(',') : Object.keys(PARTS)
const unknown = wanted.filter((part) => !(part in PARTS))
if (unknown.length) {
  console.error(`no such part: ${unknown.join(', ')}; there are ${Object.keys(PARTS).join(', ')}`)
  process.exit(2)
}

const checks = new Checks()
const world = new World(values.program, checks)
const begun = Date.now()
let code = 1

/** Runs a part and says how long it took. */
async function run(name) {
  const begun = Date.now()
  checks.part(name)
  await checks.run(name, () => PARTS[name](world))
  console.log(`        ${((Date.now() - begun) / 1000).toFixed(1)} s`)
}

for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(130))

try {
  await world.start()
  // The network's own part leaves the stream's window empty, so it comes before orrery is started.
  if (wanted.includes('network')) {
    await run('network')
    world.bridge.forget()
  }
  await world.serve()
  await world.writeLate()
  for (const part of Object.keys(PARTS)) {
    if (part === 'network' || !wanted.includes(part)) continue
    if (world.missing.length && !WITHOUT_EDGE.includes(part)) {
      checks.part(part)
      checks.fail(part, `this orrery has no ${world.missing.join(', ')}: not run`)
      continue
    }
    await run(part)
  }
  code = checks.failed || !checks.passed ? 1 : 0
} catch (error) {
  checks.fail('the run', error?.stack ?? error)
} finally {
  await world.stop(values.keep)
}
console.log(`\n${((Date.now() - begun) / 1000).toFixed(1)} s`)
console.log(`${checks.passed} passed, ${checks.failed} failed`)
process.exit(code)
