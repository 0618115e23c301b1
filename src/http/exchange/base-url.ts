/** The address under which the caller reaches the gateway: what answers put into links. */

/** `publicUrl` where it is set, else what the client itself wrote as `Host`. No slash at the end. */
export function baseUrl(publicUrl: string | undefined, host: string): string {
  return publicUrl === undefined ? `http://${host}` : publicUrl.replace(/\/+$/, '')
}
