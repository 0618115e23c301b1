/** Sessions on the native API: one group consumer each, polled, acknowledged, and gone when silent. */
import type { Sessions, SessionView, SessionWish } from '../../consume/sessions.ts'
import type { components, operations } from '../../contract/native.ts'
import type { Handlers } from '../../contract/operations.ts'
import type { OutFormat } from '../../format/native-record.ts'
import type { Clock } from '../../kit/clock.ts'
import { GatewayError } from '../../model/errors.ts'
import { parsePlace } from '../../model/place.ts'
import { formatPosition } from '../../model/position.ts'
import type { AnswersInFlight } from '../exchange/answers-in-flight.ts'
import type { CallContext } from '../exchange/call.ts'
import { fromOffsets, toAssignment, toOffsets, writeRecordList } from './wire.ts'

type SessionOperations =
  | 'createSession'
  | 'describeSession'
  | 'deleteSession'
  | 'pollSession'
  | 'commitSession'
  | 'parkRecord'
  | 'seekSession'
  | 'heartbeatSession'

type Schemas = components['schemas']

export interface SessionHandlerParts {
  readonly sessions: Sessions
  readonly answers: AnswersInFlight
  readonly clock: Clock
}

const ttlMsDefault = 30_000
const processingMsDefault = 300_000

export function sessionHandlers({
  sessions,
  answers,
  clock,
}: SessionHandlerParts): Pick<Handlers<operations, CallContext>, SessionOperations> {
  return {
    async createSession({ principal, params: { group }, body }) {
      const view = await sessions.create(principal, group, toWish(body))
      const { id, ttlMs, processingMs = 0 } = view.session
      const { memberId, memberEpoch } = view
      const assignment = toAssignment(view.assignment)
      return {
        status: 201,
        headers: { location: `/v1/sessions/${id}` },
        body: { session: id, group, memberId, memberEpoch, assignment, ttlMs, processingMs },
      }
    },

    async describeSession({ principal, params: { session } }) {
      const view = await sessions.describe(principal, session)
      return { status: 200, body: toFacts(view, clock.wallMs()) }
    },

    async deleteSession({ principal, params: { session } }) {
      await sessions.delete(principal, session)
      return { status: 204 }
    },

    async pollSession(call) {
      const { ack = null, waitMs, maxRecords, maxBytes } = call.body ?? {}
      const poll = await sessions.poll(
        call.principal,
        call.params.session,
        {
          ack,
          signal: call.signal,
          ...(waitMs === undefined ? {} : { waitMs }),
          ...(maxRecords === undefined ? {} : { recordsMax: maxRecords }),
          ...(maxBytes === undefined ? {} : { bytesMax: maxBytes }),
        },
        (records, format) => writeRecordList(records, format as OutFormat),
      )
      const { cursor, written, memberEpoch, gaps, assignment, revoked } = poll
      const facts = {
        memberEpoch,
        ...(gaps.length === 0 ? {} : { gaps }),
        ...(assignment === undefined ? {} : { assignment: toAssignment(assignment) }),
        ...(revoked === undefined ? {} : { revoked: toAssignment(revoked) }),
      }
      const bytes = Buffer.concat([
        Buffer.from(`{"cursor":${JSON.stringify(cursor)},"records":`),
        written,
        Buffer.from(`,${JSON.stringify(facts).slice(1)}`),
      ])
      // Refused or lost, the same poll gives the same batch.
      answers.admit(call, bytes.length)
      return { status: 200, written: { contentType: 'application/json', bytes } }
    },

    async commitSession({ principal, params: { session }, body }) {
      const wish = 'cursor' in body ? body : { ...body, positions: fromOffsets(body.positions) }
      const committed = await sessions.commit(principal, session, wish)
      return { status: 200, body: { committed: toOffsets(committed) } }
    },

    async parkRecord({ principal, params: { session }, body }) {
      const { topic, partition, offset, reason } = body
      await sessions.park(principal, session, {
        topic,
        partition,
        offset,
        ...(reason === undefined ? {} : { reason }),
      })
      return { status: 200, body: { parked: { topic, partition, offset } } }
    },

    async seekSession({ principal, params: { session }, body: { to, topic, partition } }) {
      const position = await sessions.seek(principal, session, {
        to: parsePlace('to', to),
        ...(topic === undefined ? {} : { topic }),
        ...(partition === undefined ? {} : { partition }),
      })
      return { status: 200, body: { position: formatPosition(position) } }
    },

    async heartbeatSession({ principal, params: { session } }) {
      const { memberEpoch, assignment, expiresAt } = await sessions.heartbeat(principal, session)
      return { status: 200, body: { memberEpoch, assignment: toAssignment(assignment), expiresAt } }
    },
  }
}

function toWish(body: Schemas['NewSession']): SessionWish {
  const { topics, pattern, reset = 'earliest', format = 'json', keys, instanceId } = body
  if ((topics === undefined) === (pattern === undefined)) {
    throw new GatewayError('BAD_REQUEST', `A session names either 'topics' or a 'pattern'.`)
  }
  const { ttlMs = ttlMsDefault, processingMs = processingMsDefault } = body
  return {
    reset: reset === 'error' ? 'none' : reset,
    format,
    ttlMs,
    processingMs,
    ...(topics === undefined ? {} : { topics }),
    ...(pattern === undefined ? {} : { pattern }),
    ...(keys === undefined ? {} : { keys }),
    ...(instanceId === undefined ? {} : { instanceId }),
  }
}

function toFacts(view: SessionView, nowMs: number): Schemas['SessionFacts'] {
  const { session, memberId, memberEpoch, assignment, expiresAt } = view
  const { id, group, surface, ttlMs, out = null } = session
  const outstanding =
    out === null
      ? null
      : {
          cursor: out.cursor,
          records: out.records,
          sinceMs: Math.max(0, Math.trunc(nowMs - out.sentMs)),
        }
  return {
    session: id,
    group,
    surface,
    memberId,
    memberEpoch,
    assignment: toAssignment(assignment),
    outstanding,
    ttlMs,
    expiresAt,
  }
}
