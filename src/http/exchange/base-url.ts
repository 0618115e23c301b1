/** The address under which the caller reaches the gateway: what answers put into links. */
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'
import type { TrustedProxies } from '../../access/trusted-proxies.ts'

export class BaseUrls {
  readonly #publicUrl: string | undefined
  readonly #proxies: TrustedProxies

  constructor(publicUrl: string | undefined, proxies: TrustedProxies) {
    this.#publicUrl = publicUrl?.replace(/\/+$/, '')
    this.#proxies = proxies
  }

  /**
   * The public address where one is set; else what a trusted proxy says of the request it passed on;
   * else what the client itself wrote as `Host`. Never a node's own address as long as there is
   * another. No slash at the end.
   */
  of(request: IncomingMessage): string {
    if (this.#publicUrl !== undefined) return this.#publicUrl
    const { headers, socket } = request
    const host = headers.host ?? addressOf(socket)
    if (!this.#proxies.includes(socket.remoteAddress)) return `http://${host}`
    const told = told7239(headers.forwarded) ?? {
      proto: first(headers['x-forwarded-proto']),
      host: first(headers['x-forwarded-host']),
    }
    const proto = told.proto?.toLowerCase() === 'https' ? 'https' : 'http'
    const name = told.host !== undefined && isHost(told.host) ? told.host : host
    return `${proto}://${name}${prefixOf(headers)}`
  }
}

interface Told {
  readonly proto: string | undefined
  readonly host: string | undefined
}

/** The first element of `Forwarded` (RFC 7239) is that of the proxy the client spoke to. */
function told7239(header: string | undefined): Told | undefined {
  if (header === undefined) return undefined
  const pairs = new Map<string, string>()
  const [element = ''] = header.split(',')
  for (const pair of element.split(';')) {
    const [name = '', value = ''] = pair.split('=', 2)
    pairs.set(name.trim().toLowerCase(), value.trim().replace(/^"(.*)"$/, '$1'))
  }
  return { proto: pairs.get('proto'), host: pairs.get('host') }
}

function first(header: string | string[] | undefined): string | undefined {
  const text = Array.isArray(header) ? header[0] : header
  return text?.split(',', 1)[0]?.trim()
}

/** What a proxy has cut off the path. What could not stand in a link as it is counts as nothing. */
function prefixOf(headers: IncomingHttpHeaders): string {
  const prefix = first(headers['x-forwarded-prefix'])?.replace(/\/+$/, '') ?? ''
  return /^(\/[\w.~!$&'()*+;=:@%-]+)+$/.test(prefix) ? prefix : ''
}

function isHost(text: string): boolean {
  return /^([\w.-]+|\[[0-9A-Fa-f:.]+\])(:\d{1,5})?$/.test(text)
}

function addressOf({ localAddress, localPort, localFamily }: IncomingMessage['socket']): string {
  return `${localFamily === 'IPv6' ? `[${localAddress}]` : localAddress}:${localPort}`
}
