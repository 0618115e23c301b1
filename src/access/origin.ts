/**
 * Which web pages and which host names may speak to the gateway. Browsers send some requests by
 * themselves, with whatever credential they hold, from any page that is open; these rules keep a
 * foreign page from writing to or reading from a gateway that trusts its caller. Both doors ask
 * them on every route, reads and upgrades included.
 */
import { isIP } from 'node:net'
import { GatewayError } from '../model/errors.ts'

export interface OriginRules {
  /** `http.publicUrl`: the address people use. Without it ours is a loopback name with our port. */
  readonly publicUrl?: string
  /** The port we listen on. */
  readonly port: number
  /** `http.allowedHosts`: further names, with or without a port. */
  readonly allowedHosts: readonly string[]
  /** `cors.origins`: origins of other pages that may call us, exactly as browsers send them. */
  readonly corsOrigins: readonly string[]
}

export interface OriginFacts {
  /** The header `Origin`. */
  readonly origin: string | undefined
  /** The header `Host`. */
  readonly host: string | undefined
  /** The header `Sec-Fetch-Site`. */
  readonly secFetchSite: string | undefined
  /**
   * `explicit`: the caller proved itself by something that no browser adds on its own: a bearer
   * token, an API key or a ticket. `none`: anonymous, Basic or a client certificate.
   */
  readonly credential: 'none' | 'explicit'
}

/** The FORBIDDEN that names the setting to change, or undefined when the request may go on. */
export function checkOrigin(rules: OriginRules, facts: OriginFacts): GatewayError | undefined {
  if (facts.credential === 'explicit') return undefined
  if (facts.host !== undefined && !isKnownHost(rules, facts.host)) {
    return new GatewayError(
      'FORBIDDEN',
      `The host name '${shown(facts.host)}' is not one of this gateway's. If people reach it by that name, add it to http.allowedHosts or set http.publicUrl.`,
    )
  }
  if (facts.origin === undefined) {
    return facts.secFetchSite === 'cross-site' ? foreign('A page of another site') : undefined
  }
  if (isOwnOrigin(rules, facts.origin) || isListedOrigin(rules, facts.origin)) return undefined
  return foreign(`A page of '${shown(facts.origin)}'`)
}

/** Whether CORS answers may name this origin. `null` is nobody's origin and never listed. */
export function isListedOrigin(rules: OriginRules, origin: string): boolean {
  return origin !== 'null' && rules.corsOrigins.includes(origin)
}

function isOwnOrigin(rules: OriginRules, origin: string): boolean {
  if (rules.publicUrl !== undefined) return new URL(rules.publicUrl).origin === origin
  const url = parseOrigin(origin)
  return url !== undefined && isLoopbackName(url.hostname) && portOf(url) === rules.port
}

/**
 * A name that somebody else's DNS answers can be pointed at us ("rebinding"), and the page behind it
 * then counts as same-origin. An IP literal cannot, nor can a loopback name.
 */
function isKnownHost(rules: OriginRules, host: string): boolean {
  const url = parseOrigin(`http://${host}`)
  if (url === undefined) return false
  const name = url.hostname
  if (isLoopbackName(name) || isIP(unbracketed(name)) !== 0) return true
  if (rules.publicUrl !== undefined && new URL(rules.publicUrl).hostname === name) return true
  const lower = host.toLowerCase()
  return rules.allowedHosts.some((allowed) => {
    const listed = allowed.toLowerCase()
    return listed === lower || listed === name
  })
}

function isLoopbackName(hostname: string): boolean {
  return hostname === 'localhost' || hostname === '[::1]' || /^127(\.\d{1,3}){3}$/.test(hostname)
}

/** An origin is a scheme and an authority; whatever has more to it did not come from a browser. */
function parseOrigin(text: string): URL | undefined {
  const url = URL.parse(text)
  if (url === null || (url.protocol !== 'http:' && url.protocol !== 'https:')) return undefined
  const plain = url.username === '' && url.password === '' && url.search === '' && url.hash === ''
  return plain && url.pathname === '/' && !text.endsWith('/') ? url : undefined
}

function portOf(url: URL): number {
  if (url.port !== '') return Number(url.port)
  return url.protocol === 'https:' ? 443 : 80
}

function unbracketed(hostname: string): string {
  return hostname.startsWith('[') ? hostname.slice(1, -1) : hostname
}

function foreign(who: string): GatewayError {
  return new GatewayError(
    'FORBIDDEN',
    `${who} may not use this gateway. To allow it, add its origin to cors.origins; if that is the gateway's own address, set http.publicUrl.`,
  )
}

/** What a caller sent is shown shortened and without anything that could act in a terminal. */
function shown(text: string): string {
  const printable = text.replace(/[^\x20-\x7e]/g, '?')
  return printable.length > 100 ? `${printable.slice(0, 100)}…` : printable
}
