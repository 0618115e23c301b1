/** What goes over the socket and what an application gets, with the types of the contract. */
import type { components } from '../contract/native.ts'

type Schemas = components['schemas']
export type ServerMessage = Schemas['PushServerMessage']
export type RecordsMessage = Schemas['PushRecords']
export type GapMessage = Schemas['PushGap']

/** A record with its place. `value` is parsed JSON, or a string when `format` says so. */
export interface ClientRecord {
  readonly topic: string
  /** The topic's incarnation: offsets are comparable within one epoch only. */
  readonly epoch: string
  readonly partition: number
  readonly offset: number
  /** Milliseconds since 1970. */
  readonly timestamp: number
  readonly key: string | null
  /** The key is base64. */
  readonly keyFormat?: 'binary'
  readonly value: unknown
  /** `text`: the value is a string; `binary`: it is base64. */
  readonly format?: 'text' | 'binary'
  readonly headers?: readonly Schemas['RecordHeader'][]
}

/** What the gateway refused, or how it ended something, for good. */
export class EbbgateError extends Error {
  /** One of the codes of docs/errors.md, or `CLOSED` with the close code in the message. */
  readonly code: string

  constructor(code: string, message: string) {
    super(message)
    this.name = 'EbbgateError'
    this.code = code
  }
}

/** Undefined for what is no message; unknown types and members are left alone. */
export function readServerMessage(data: unknown): ServerMessage | undefined {
  if (typeof data !== 'string') return undefined
  try {
    const message: unknown = JSON.parse(data)
    return typeof message === 'object' && message !== null && 'type' in message
      ? (message as ServerMessage)
      : undefined
  } catch {
    return undefined
  }
}
