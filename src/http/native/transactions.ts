/** `POST /v1/transactions`: records for many topics and the commit of a group, all or nothing. */
import type { CarriedOffsets, SessionCommit, Sessions } from '../../consume/sessions.ts'
import type { components, operations } from '../../contract/native.ts'
import type { Handlers } from '../../contract/operations.ts'
import { jsonLimits } from '../../format/json.ts'
import { checkJson, findJson, isFault } from '../../kit/json-slices.ts'
import { afterByteOrderMark } from '../../kit/lines.ts'
import { GatewayError } from '../../model/errors.ts'
import type { KeyedAnswer } from '../../produce/producer.ts'
import type { OneShotWriter } from '../../produce/transaction.ts'
import type { CallContext } from '../exchange/call.ts'
import { deduplicatedHeader, requestKey } from '../exchange/idempotency-key.ts'
import type { TopicRecord } from './envelope-records.ts'
import { topicRecords } from './envelope-records.ts'
import { bodyFault } from './json-faults.ts'
import { fromOffsets, toOffsets, writeResults } from './wire.ts'

type CommittedOffset = CarriedOffsets['commits'][number]
type Commit = NonNullable<components['schemas']['Transaction']['commit']>

export function transactionHandlers({
  writer,
  sessions,
}: {
  readonly writer: OneShotWriter
  readonly sessions: Sessions
}): Pick<Handlers<operations, CallContext>, 'postTransaction'> {
  return {
    async postTransaction(call) {
      const { principal, body } = call
      const { commit } = body
      if (commit === undefined && (body.records ?? []).length === 0) {
        throw new GatewayError('BAD_REQUEST', `A transaction has 'records', a 'commit', or both.`)
      }
      const records = body.records === undefined ? [] : recordsOf(call.bytes)
      const key = requestKey(call, ['native', 'transactions'], {})
      // Before the commit is judged: the first try has committed it.
      const first = key === undefined ? undefined : await writer.recall(principal, key)
      if (first !== undefined) {
        return reply(first, await repeated(sessions, principal, commit))
      }
      const run = (offsets?: CarriedOffsets): Promise<KeyedAnswer> =>
        writer.run(principal, {
          records,
          ...(offsets === undefined ? {} : { offsets }),
          ...(key === undefined ? {} : { key }),
        })
      if (commit === undefined) return reply(await run())
      if ('session' in commit) {
        const wish = commitOf(commit)
        const { result, committed } = await sessions.carry(principal, commit.session, wish, run)
        return reply(result, committed)
      }
      const commits = listed(commit.positions)
      const offsets = { group: { groupId: commit.group }, commits }
      const answer = await writer.run(principal, {
        records,
        offsets,
        ...(key === undefined ? {} : { key }),
      })
      return reply(answer, commits)
    },
  }
}

/** From the bytes of the body, so that values are stored as they were sent. */
function recordsOf(body: Buffer): TopicRecord[] {
  const whole = checkJson(body, jsonLimits, afterByteOrderMark(body))
  if (isFault(whole)) throw bodyFault(whole)
  return topicRecords(body, findJson(body, jsonLimits, whole, ['records'])!)
}

async function repeated(
  sessions: Sessions,
  principal: CallContext['principal'],
  commit: Commit | undefined,
): Promise<readonly CommittedOffset[] | undefined> {
  if (commit === undefined) return undefined
  if (!('session' in commit)) return listed(commit.positions)
  return await sessions.carried(principal, commit.session, commitOf(commit))
}

function commitOf(commit: Extract<Commit, { session: string }>): SessionCommit {
  if ('cursor' in commit) return { cursor: commit.cursor }
  return { positions: fromOffsets(commit.positions), memberEpoch: commit.memberEpoch }
}

function listed(positions: components['schemas']['Positions']): CommittedOffset[] {
  return [...fromOffsets(positions)].flatMap(([topic, offsets]) =>
    [...offsets].map(([partition, offset]) => ({ tp: { topic, partition }, offset })),
  )
}

function reply(
  { results, deduplicated }: KeyedAnswer,
  committed?: readonly CommittedOffset[],
): {
  readonly status: 200
  readonly headers: Readonly<Record<string, string>>
  readonly written: { readonly contentType: string; readonly bytes: string }
} {
  const text = writeResults(results, 0, deduplicated)
  const told = committed === undefined ? '' : `,"committed":${JSON.stringify(toOffsets(committed))}`
  return {
    status: 200,
    headers: {
      'ebbgate-records': String(results.length),
      ...(deduplicated ? deduplicatedHeader : {}),
    },
    written: { contentType: 'application/json', bytes: `${text.slice(0, -1)}${told}}` },
  }
}
