// Plain XRPC over node's fetch: what came back, whatever its status.

const DEADLINE_MS = 30_000

/** `GET base/xrpc/nsid?params`. A list gives the parameter once for each of its values. */
export function query(base, nsid, params = {}, headers = {}) {
  const search = new URLSearchParams()
  for (const [name, value] of Object.entries(params)) {
    for (const one of [value].flat()) if (one !== undefined) search.append(name, String(one))
  }
  const tail = search.size ? `?${search}` : ''
  return ask(`${base}/xrpc/${nsid}${tail}`, { headers })
}

/** `POST base/xrpc/nsid` of JSON, or of bytes with their media type. */
export function call(base, nsid, body, headers = {}) {
  const bytes = body instanceof Uint8Array
  const given = body === undefined ? {} : bytes ? {} : { 'content-type': 'application/json' }
  const sent = body === undefined || bytes ? body : JSON.stringify(body)
  return ask(`${base}/xrpc/${nsid}`, { method: 'POST', headers: { ...given, ...headers }, body: sent })
}

/** Gives `{status, type, headers, body}`: the body parsed where it is JSON, else its bytes. */
export async function ask(url, init = {}) {
  const answer = await fetch(url, { ...init, redirect: 'manual', signal: AbortSignal.timeout(DEADLINE_MS) })
  const bytes = Buffer.from(await answer.arrayBuffer())
  const type = (answer.headers.get('content-type') ?? '').split(';')[0]
  let body = bytes
  if (type === 'application/json' || type === 'application/did+ld+json') {
    body = JSON.parse(bytes.toString('utf8'))
  }
  return { status: answer.status, type, headers: answer.headers, body }
}

/** The body of an answer that must be 200. */
export function good(answer) {
  if (answer.status === 200) return answer.body
  const text = Buffer.isBuffer(answer.body) ? answer.body.toString('utf8') : JSON.stringify(answer.body)
  throw new Error(`status ${answer.status}: ${text.slice(0, 400)}`)
}
