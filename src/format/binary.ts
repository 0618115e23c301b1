/** Base64 (RFC 4648 §4), read strictly: what is accepted is exactly what the encoder writes. */

/** The bytes; undefined for text that is not padded standard base64. */
export function fromBase64(text: string): Buffer | undefined {
  const bytes = Buffer.from(text, 'base64')
  // Node skips what it does not know, so only a second encoding shows that nothing was skipped.
  return bytes.toString('base64') === text ? bytes : undefined
}

export function toBase64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('base64')
}
