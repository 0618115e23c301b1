/** Access control lists by the v3 contract: there are none yet, and that is what is said. */
import type { Handlers } from '../../contract/operations.ts'
import type { operations } from '../../contract/v3.ts'
import { GatewayError } from '../../model/errors.ts'
import type { CallContext } from '../exchange/call.ts'
import type { FrameParts } from './frame.ts'
import { frameOf } from './frame.ts'

export function aclHandlers(
  parts: FrameParts,
): Pick<Handlers<operations, CallContext>, 'listAcls' | 'createAcl' | 'createAcls' | 'deleteAcls'> {
  const refuse = async (call: Parameters<typeof frameOf>[1]): Promise<never> => {
    await frameOf(parts, call)
    throw new GatewayError('UNSUPPORTED', 'The gateway has no access control lists yet.')
  }
  return {
    async listAcls(call) {
      const frame = await frameOf(parts, call)
      return { status: 200, body: frame.list('KafkaAclList', ['acls'], []) }
    },
    createAcl: refuse,
    createAcls: refuse,
    deleteAcls: refuse,
  }
}
