/** Proxies whose word about the caller's address is taken (`http.trustedProxies`). */
import { BlockList, isIP, isIPv4 } from 'node:net'
import { GatewayError } from '../model/errors.ts'

export class TrustedProxies {
  readonly #list = new BlockList()
  readonly #isEmpty: boolean

  /** Addresses and networks, such as `10.0.0.0/8`. Throws INVALID_CONFIG. */
  constructor(rules: readonly string[]) {
    this.#isEmpty = rules.length === 0
    for (const rule of rules) this.#add(rule)
  }

  /** `address` as a socket tells it. */
  includes(address: string | undefined): boolean {
    if (this.#isEmpty || address === undefined) return false
    // A socket that takes both families shows IPv4 peers in the form of IPv6.
    const plain = address.toLowerCase().startsWith('::ffff:') ? address.slice(7) : address
    return isIP(plain) !== 0 && this.#list.check(plain, isIPv4(plain) ? 'ipv4' : 'ipv6')
  }

  #add(rule: string): void {
    const [address = '', bits, ...more] = rule.split('/')
    const family = isIPv4(address) ? 'ipv4' : 'ipv6'
    const bitsMax = family === 'ipv4' ? 32 : 128
    const prefix = bits === undefined ? bitsMax : /^\d{1,3}$/.test(bits) ? Number(bits) : -1
    if (isIP(address) === 0 || prefix < 0 || prefix > bitsMax || more.length > 0) {
      throw new GatewayError(
        'INVALID_CONFIG',
        `http.trustedProxies: '${rule}' is neither an IP address nor a network such as 10.0.0.0/8.`,
      )
    }
    this.#list.addSubnet(address, prefix, family)
  }
}
