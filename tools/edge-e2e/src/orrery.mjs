// The program under test: started, asked, stopped. Its standard error goes to a file in its directory.

import { spawn, execFileSync } from 'node:child_process'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { ask, query, call } from './http.mjs'
import { until } from './check.mjs'
import { FLAGS, HEALTH } from './contract.mjs'

/** The environment, without settings of the program. */
function settings() {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('ORRERY_') && name !== 'RUST_LOG'))
}

export class Orrery {
  #process
  #ended
  #starts = 0

  constructor(program, directory) {
    this.program = program
    this.directory = directory
  }

  /** The flags of the edge cache that this program does not have. */
  missingFlags() {
    const help = execFileSync(this.program, ['help', 'serve'], { encoding: 'utf8', env: settings() })
    return Object.values(FLAGS).filter((flag) => !help.includes(flag))
  }

  /** Starts it on a free port, with these arguments of `serve` too. */
  async start(more) {
    this.#starts += 1
    const log = join(this.directory, `orrery-${this.#starts}.log`)
    const out = openSync(log, 'w')
    const data = join(this.directory, 'data')
    const all = ['--log', 'info', 'serve', '--data', data, '--bind', '127.0.0.1:0', ...more]
    const child = spawn(this.program, all, { stdio: ['ignore', out, out], env: settings() })
    closeSync(out)
    this.#process = child
    // Whatever ends the run ends it too.
    process.once('exit', () => child.kill('SIGKILL'))
    this.#ended = new Promise((done) => child.on('exit', (code, signal) => done({ code, signal })))
    this.log = log
    const found = await until('orrery says where it answers', () => {
      const said = readFileSync(log, 'utf8')
      if (child.exitCode !== null) throw new Error(`orrery ended with ${child.exitCode}: ${said}`)
      return said.match(/answers on (http:\/\/[0-9.]+:[0-9]+)/)
    })
    this.base = found[1]
  }

  /** Ends it, and gives its exit code and signal. */
  async stop(signal = 'SIGTERM') {
    if (!this.#process) return null
    this.#process.kill(signal)
    this.#process = undefined
    return this.#ended
  }

  get(nsid, params, headers) {
    return query(this.base, nsid, params, headers)
  }

  post(nsid, body, headers) {
    return call(this.base, nsid, body, headers)
  }

  page(path) {
    return ask(`${this.base}${path}`, { headers: { accept: 'application/json' } })
  }

  /** Time in µs through which everything is applied. */
  async through() {
    return (await this.page(HEALTH.path)).body[HEALTH.through] ?? 0
  }
}
