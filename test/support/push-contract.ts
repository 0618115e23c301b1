/** Whether a message of the socket is what the contract says. */
import { readFileSync } from 'node:fs'
import { Ajv2020 } from 'ajv/dist/2020.js'
import { parse } from 'yaml'

const document = parse(
  readFileSync(new URL('../../openapi/native.yaml', import.meta.url), 'utf8'),
) as object
const ajv = new Ajv2020({ strict: false, validateFormats: false }).addSchema(document, 'native')

/** Throws when the message is none of the server's messages in openapi/native.yaml. */
export function assertServerMessage(message: { readonly type: string }): void {
  const name = `Push${message.type[0]?.toUpperCase()}${message.type.slice(1)}`
  const validate = ajv.getSchema(`native#/components/schemas/${name}`)
  if (validate === undefined) throw new Error(`The contract knows no message '${message.type}'.`)
  if (validate(message) !== true) {
    throw new Error(`${name}: ${ajv.errorsText(validate.errors)} in ${JSON.stringify(message)}`)
  }
}
