// Counts and prints what was checked. A check that fails is told and the run goes on, so that one run shows all.

import { isDeepStrictEqual, inspect } from 'node:util'

const SHOWN = 1200

export class Checks {
  passed = 0
  failed = 0
  #part = ''

  part(name) {
    this.#part = name
    console.log(`\n== ${name}`)
  }

  ok(what) {
    this.passed += 1
    console.log(`ok      ${what}`)
  }

  fail(what, why) {
    this.failed += 1
    console.log(`FAILED  ${what}  [${this.#part}]`)
    for (const line of String(why).slice(0, SHOWN).split('\n')) console.log(`          ${line}`)
  }

  /** One fact. `shown` is printed where it does not hold. */
  that(what, fact, shown) {
    if (fact) this.ok(what)
    else this.fail(what, shown === undefined ? 'it does not hold' : show(shown))
    return Boolean(fact)
  }

  equal(what, found, expected) {
    if (isDeepStrictEqual(found, expected)) this.ok(what)
    else this.fail(what, `found    ${show(found)}\nexpected ${show(expected)}`)
  }

  /** Runs something whose exceptions are failures of the check, not of the script. */
  async run(what, work) {
    try {
      await work()
    } catch (error) {
      this.fail(what, error?.stack ?? error)
    }
  }
}

export function show(value) {
  return inspect(value, { depth: 8, breakLength: 140, maxStringLength: 200 })
}

export const sleep = (ms) => new Promise((done) => setTimeout(done, ms))

/** Waits until `fact` gives something true, and gives that. */
export async function until(what, fact, ms = 20_000) {
  const end = Date.now() + ms
  for (;;) {
    const found = await fact()
    if (found) return found
    if (Date.now() > end) throw new Error(`not within ${ms} ms: ${what}`)
    await sleep(15)
  }
}
