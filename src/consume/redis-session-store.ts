/**
 * Sessions in Redis: they outlive the process, and any node serves any of them. The home of ioredis.
 *
 * Every verb is one Lua script, so each is atomic, and times are Redis' own. All keys of a gateway
 * share one hash tag and thus one slot of a cluster. Every key has a time to live: whatever nobody
 * renews is gone in the end.
 *
 *   {ebbgate:1:<namespace>}:s:<key>   hash: id owner ttl version session membership revision
 *                                           node token lease seen reader reader_end reader_sees
 *   {ebbgate:1:<namespace>}:i:<id>    the key of the session with this id
 *   {ebbgate:1:<namespace>}:leases    sorted set: key by the end of its lease
 *   {ebbgate:1:<namespace>}:o:<owner> sorted set: key by the end of its hash, to count sessions
 */
import { createHash } from 'node:crypto'
import { Redis } from 'ioredis'
import type { Logger } from '../kit/logger.ts'
import { GatewayError } from '../model/errors.ts'
import type { Membership, Session, SessionKey } from './session.ts'
import { keyOfText, keyText, timeToLiveMs } from './session.ts'
import type {
  Lease,
  LeaseCheck,
  LeaseRenewal,
  SessionStore,
  StoredSession,
} from './session-store.ts'
import { sessionExists, tooManySessions } from './session-store.ts'

export interface RedisSessionStoreOptions {
  /** `redis://…`, `rediss://…`, or the path of a Unix socket. */
  readonly url: string
  /** Keeps gateways apart that share a Redis: the cluster id. Asked for once, by `open`. */
  readonly namespace: string | (() => Promise<string>)
  readonly logger: Logger
}

/** Part of every key: a version that stores sessions in another way does not meet these. */
const recordFormat = 1
/** Longer than this nobody waits for Redis, ms. */
const commandTimeoutMs = 2_000
const connectTimeoutMs = 2_000
/** A connection that brings nothing for so long while answers are due is dead, ms: another is made. */
const silenceTimeoutMs = 4_000
/** Pause between tries to reach it again, ms. */
const reconnectMsMax = 1_000
/** A session's hash outlives its time to live by this much, so that the lease holder can end it, ms. */
const graceMs = 60_000
/** The indexes are renewed with every lease. */
const indexKeepMs = 7 * 24 * 3_600_000
/** The way from an id to its session outlives the session by this much, ms. */
const idKeepMs = 10 * graceMs
/** Leases renewed by one script: a script holds up everybody else. */
const renewalsPerScript = 100

/** Numbers go out as whole decimal texts: Lua would print large ones as 1.7e+12. */
const prelude = `
local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)
local function whole(n) return string.format('%.0f', n) end
local function get(key, field) return redis.call('HGET', key, field) end
local function number(key, field) return tonumber(get(key, field) or '0') end
local function reading(key)
  return get(key, 'reader') ~= '' and number(key, 'reader_end') > now
end
local function keep(key)
  redis.call('PEXPIRE', key, whole(number(key, 'ttl') + ${graceMs}))
end
local function touch(key)
  redis.call('HSET', key, 'seen', whole(now))
  keep(key)
end
local function holds(key, node, token)
  return get(key, 'token') == token and get(key, 'node') == node
end
local function view(key)
  local reader, sees = '', '0'
  if reading(key) then reader, sees = get(key, 'reader'), get(key, 'reader_sees') end
  return { get(key, 'version'), get(key, 'session'), get(key, 'membership'), get(key, 'node'),
    get(key, 'token'), whole(now - number(key, 'seen')), reader, sees }
end
`

class Script {
  readonly text: string
  readonly digest: string

  constructor(body: string) {
    this.text = prelude + body
    this.digest = createHash('sha1').update(this.text).digest('hex')
  }
}

const scripts = {
  create: new Script(`
local key, leases, owner, index = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local name, id, who, ttl, session, node, lease, most = unpack(ARGV)
if redis.call('EXISTS', key) == 1 then
  if get(key, 'id') == id then return view(key) end
  return 'exists'
end
redis.call('ZREMRANGEBYSCORE', owner, '-inf', whole(now))
if redis.call('ZCARD', owner) >= tonumber(most) then return 'full' end
redis.call('HSET', key, 'id', id, 'owner', who, 'ttl', ttl, 'version', '1', 'session', session,
  'membership', '', 'revision', '0', 'node', node, 'token', '1', 'seen', whole(now),
  'lease', whole(now + tonumber(lease)), 'reader', '', 'reader_end', '0', 'reader_sees', '0')
keep(key)
redis.call('ZADD', leases, whole(now + tonumber(lease)), name)
redis.call('PEXPIRE', leases, ${indexKeepMs})
redis.call('ZADD', owner, whole(now + tonumber(ttl) + ${graceMs}), name)
redis.call('PEXPIRE', owner, ${indexKeepMs})
redis.call('SET', index, name, 'PX', whole(tonumber(ttl) + ${idKeepMs}))
return view(key)`),

  locate: new Script(`
return redis.call('GET', KEYS[1])`),

  find: new Script(`
local key, by = KEYS[1], ARGV[1]
if redis.call('EXISTS', key) == 0 then return false end
if by ~= '' then
  if get(key, 'owner') ~= by then return false end
  touch(key)
end
return view(key)`),

  save: new Script(`
local key = KEYS[1]
local id, version, session, reader, ttl = unpack(ARGV)
if get(key, 'id') ~= id or get(key, 'version') ~= version then return false end
redis.call('HSET', key, 'version', whole(tonumber(version) + 1), 'session', session, 'ttl', ttl)
keep(key)
if reader ~= '' and get(key, 'reader') == reader then redis.call('HSET', key, 'reader', '') end
return view(key)`),

  beginRead: new Script(`
local key = KEYS[1]
local by, reader, mark = unpack(ARGV)
if redis.call('EXISTS', key) == 0 or get(key, 'owner') ~= by then return false end
touch(key)
if reading(key) and get(key, 'reader') ~= reader then return 'busy' end
redis.call('HSET', key, 'reader', reader, 'reader_end', whole(now + tonumber(mark)),
  'reader_sees', get(key, 'revision'))
return view(key)`),

  holdRead: new Script(`
local key = KEYS[1]
local reader, mark = unpack(ARGV)
if get(key, 'reader') ~= reader then return 0 end
redis.call('HSET', key, 'reader_end', whole(now + tonumber(mark)))
touch(key)
return 1`),

  endRead: new Script(`
local key = KEYS[1]
if get(key, 'reader') == ARGV[1] then redis.call('HSET', key, 'reader', '') end
return 1`),

  saveMembership: new Script(`
local key = KEYS[1]
local node, token, membership, revision = unpack(ARGV)
if not holds(key, node, token) then return 0 end
redis.call('HSET', key, 'membership', membership, 'revision', revision)
return 1`),

  adopt: new Script(`
local key, leases = KEYS[1], KEYS[2]
local name, node, lease = unpack(ARGV)
if redis.call('EXISTS', key) == 0 then
  redis.call('ZREM', leases, name)
  return false
end
if number(key, 'lease') > now then return false end
local ends = whole(now + tonumber(lease))
redis.call('HSET', key, 'node', node, 'token', whole(number(key, 'token') + 1), 'lease', ends)
touch(key)
redis.call('ZADD', leases, ends, name)
return view(key)`),

  renew: new Script(`
local leases, checks = KEYS[1], {}
local lease = ARGV[1]
local ends = whole(now + tonumber(lease))
for i = 1, (#KEYS - 1) / 3 do
  local key, owner, index = KEYS[3 * i - 1], KEYS[3 * i], KEYS[3 * i + 1]
  local name, node, token = ARGV[3 * i - 1], ARGV[3 * i], ARGV[3 * i + 1]
  if holds(key, node, token) then
    redis.call('HSET', key, 'lease', ends)
    keep(key)
    redis.call('ZADD', leases, ends, name)
    redis.call('ZADD', owner, whole(now + number(key, 'ttl') + ${graceMs}), name)
    redis.call('PEXPIRE', owner, ${indexKeepMs})
    redis.call('SET', index, name, 'PX', whole(number(key, 'ttl') + ${idKeepMs}))
    checks[i] = get(key, 'version') .. ' ' .. whole(now - number(key, 'seen'))
  else
    checks[i] = ''
  end
end
redis.call('PEXPIRE', leases, ${indexKeepMs})
return checks`),

  release: new Script(`
local key, leases = KEYS[1], KEYS[2]
local name, node, token = unpack(ARGV)
if not holds(key, node, token) then return 0 end
redis.call('HSET', key, 'lease', whole(now))
redis.call('ZADD', leases, whole(now), name)
return 1`),

  lapsed: new Script(`
return redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', whole(now), 'LIMIT', '0', ARGV[1])`),

  expire: new Script(`
local key, leases, owner, index = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local name, node, token = unpack(ARGV)
if not holds(key, node, token) or reading(key) then return 0 end
if now - number(key, 'seen') < number(key, 'ttl') then return 0 end
redis.call('DEL', key, index)
redis.call('ZREM', leases, name)
redis.call('ZREM', owner, name)
return 1`),

  remove: new Script(`
local key, leases, owner, index = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local name, id = unpack(ARGV)
if get(key, 'id') ~= id then return 0 end
redis.call('DEL', key, index)
redis.call('ZREM', leases, name)
redis.call('ZREM', owner, name)
return 1`),
} as const

export class RedisSessionStore implements SessionStore {
  readonly shared = true
  readonly #redis: Redis
  readonly #namespace: () => Promise<string>
  readonly #logger: Logger
  #tag = ''
  /** Why it cannot be reached; undefined while it can. */
  #trouble: Error | undefined

  constructor({ url, namespace, logger }: RedisSessionStoreOptions) {
    this.#namespace = typeof namespace === 'string' ? () => Promise.resolve(namespace) : namespace
    this.#logger = logger
    this.#redis = new Redis(url, {
      lazyConnect: true,
      connectTimeout: connectTimeoutMs,
      commandTimeout: commandTimeoutMs,
      socketTimeout: silenceTimeoutMs,
      // After a failover the address means another server than the one that is connected.
      reconnectOnError: (error) => refusalOf(error) === 'READONLY',
      // Nothing is queued while Redis is away, and nothing is sent twice: callers are told at once.
      enableOfflineQueue: false,
      autoResendUnfulfilledCommands: false,
      maxRetriesPerRequest: 0,
      retryStrategy: (tries) => Math.min(50 * tries, reconnectMsMax),
    })
    this.#redis.on('error', (error: Error) => this.#noteDown(error))
    this.#redis.on('ready', () => this.#noteUp())
  }

  get reachable(): boolean {
    return this.#trouble === undefined
  }

  /** Throws UNAVAILABLE when Redis cannot be reached at the start. */
  async open(): Promise<void> {
    this.#tag = `{ebbgate:${recordFormat}:${encodeURIComponent(await this.#namespace())}}`
    try {
      await this.#redis.connect()
    } catch (cause) {
      this.#redis.disconnect()
      throw this.#unreachable(cause, 'no')
    }
  }

  close(): Promise<void> {
    this.#redis.disconnect()
    return Promise.resolve()
  }

  async create(
    session: Session,
    node: string,
    leaseMs: number,
    ownerMax: number,
  ): Promise<StoredSession> {
    const { id, owner, ttlMs } = session
    const keys = [...this.#allKeys(session, owner), this.#index(id)]
    const reply = await this.#write(scripts.create, keys, [
      keyText(session),
      id,
      owner,
      ttlMs,
      JSON.stringify(session),
      node,
      leaseMs,
      ownerMax,
    ])
    if (reply === 'exists') throw sessionExists(session)
    if (reply === 'full') throw tooManySessions(owner, ownerMax)
    return toStored(reply)
  }

  async locate(id: string): Promise<SessionKey | undefined> {
    const reply = await this.#read(scripts.locate, [this.#index(id)], [])
    return typeof reply === 'string' ? keyOfText(reply) : undefined
  }

  async find(key: SessionKey, by = ''): Promise<StoredSession | undefined> {
    const reply = await this.#read(scripts.find, [this.#hash(key)], [by])
    return reply === null ? undefined : toStored(reply)
  }

  async save(
    key: SessionKey,
    version: number,
    session: Session,
    endReader = '',
  ): Promise<StoredSession | undefined> {
    const ttlMs = timeToLiveMs(session)
    const args = [session.id, version, JSON.stringify(session), endReader, ttlMs]
    const reply = await this.#write(scripts.save, [this.#hash(key)], args)
    return reply === null ? undefined : toStored(reply)
  }

  async beginRead(
    key: SessionKey,
    by: string,
    reader: string,
    markMs: number,
  ): Promise<StoredSession | 'busy' | undefined> {
    const reply = await this.#read(scripts.beginRead, [this.#hash(key)], [by, reader, markMs])
    if (reply === null) return undefined
    return reply === 'busy' ? reply : toStored(reply)
  }

  async holdRead(key: SessionKey, reader: string, markMs: number): Promise<boolean> {
    return (await this.#read(scripts.holdRead, [this.#hash(key)], [reader, markMs])) === 1
  }

  async endRead(key: SessionKey, reader: string): Promise<void> {
    await this.#read(scripts.endRead, [this.#hash(key)], [reader])
  }

  async saveMembership(
    key: SessionKey,
    { node, token }: Lease,
    membership: Membership | null,
  ): Promise<boolean> {
    const json = membership === null ? '' : JSON.stringify(membership)
    const args = [node, token, json, membership?.revision ?? 0]
    return (await this.#write(scripts.saveMembership, [this.#hash(key)], args)) === 1
  }

  async adopt(key: SessionKey, node: string, leaseMs: number): Promise<StoredSession | undefined> {
    const keys = [this.#hash(key), this.#leases()]
    const reply = await this.#write(scripts.adopt, keys, [keyText(key), node, leaseMs])
    return reply === null ? undefined : toStored(reply)
  }

  async renew(
    renewals: readonly LeaseRenewal[],
    leaseMs: number,
  ): Promise<(LeaseCheck | undefined)[]> {
    const checks: (LeaseCheck | undefined)[] = []
    for (let from = 0; from < renewals.length; from += renewalsPerScript) {
      const part = renewals.slice(from, from + renewalsPerScript)
      const keys = part.flatMap(({ key, owner, id }) => [
        this.#hash(key),
        this.#owner(owner),
        this.#index(id),
      ])
      const args = part.flatMap(({ key, lease }) => [keyText(key), lease.node, lease.token])
      const reply = await this.#write(scripts.renew, [this.#leases(), ...keys], [leaseMs, ...args])
      for (const text of reply as string[]) {
        const [version, idleMs] = text.split(' ').map(Number)
        const isHeld = version !== undefined && idleMs !== undefined
        checks.push(isHeld ? { version, idleMs } : undefined)
      }
    }
    return checks
  }

  async release(key: SessionKey, { node, token }: Lease): Promise<void> {
    const keys = [this.#hash(key), this.#leases()]
    await this.#write(scripts.release, keys, [keyText(key), node, token])
  }

  async lapsed(limit: number): Promise<SessionKey[]> {
    const reply = await this.#read(scripts.lapsed, [this.#leases()], [limit])
    return (reply as string[]).map(keyOfText)
  }

  async expire(key: SessionKey, { node, token }: Lease): Promise<boolean> {
    const stored = await this.find(key)
    if (stored === undefined) return false
    const { owner, id } = stored.session
    const keys = [...this.#allKeys(key, owner), this.#index(id)]
    return (await this.#write(scripts.expire, keys, [keyText(key), node, token])) === 1
  }

  async remove(key: SessionKey, id: string): Promise<boolean> {
    const stored = await this.find(key)
    if (stored === undefined) return false
    const keys = [...this.#allKeys(key, stored.session.owner), this.#index(id)]
    return (await this.#write(scripts.remove, keys, [keyText(key), id])) === 1
  }

  #hash(key: SessionKey): string {
    return `${this.#tag}:s:${keyText(key)}`
  }

  #index(id: string): string {
    return `${this.#tag}:i:${encodeURIComponent(id)}`
  }

  #leases(): string {
    return `${this.#tag}:leases`
  }

  #owner(owner: string): string {
    return `${this.#tag}:o:${owner}`
  }

  #allKeys(key: SessionKey, owner: string): string[] {
    return [this.#hash(key), this.#leases(), this.#owner(owner)]
  }

  /** What a failure leaves unchanged, as far as callers can see. */
  #read(script: Script, keys: string[], args: (string | number)[]): Promise<unknown> {
    return this.#run(script, keys, args, 'no')
  }

  #write(script: Script, keys: string[], args: (string | number)[]): Promise<unknown> {
    return this.#run(script, keys, args, 'maybe')
  }

  async #run(
    { text, digest }: Script,
    keys: string[],
    args: (string | number)[],
    applied: 'no' | 'maybe',
  ): Promise<unknown> {
    try {
      try {
        return await this.#redis.evalsha(digest, keys.length, ...keys, ...args)
      } catch (error) {
        if (refusalOf(error) !== 'NOSCRIPT') throw error
        return await this.#redis.eval(text, keys.length, ...keys, ...args)
      }
    } catch (cause) {
      // A wrong script or argument; whatever else is refused passes.
      if (refusalOf(cause) === 'ERR')
        throw new GatewayError('INTERNAL', 'A session script failed.', { cause })
      throw this.#unreachable(cause, applied)
    }
  }

  #unreachable(cause: unknown, applied: 'no' | 'maybe'): GatewayError {
    const refusal = refusalOf(cause) ?? refusalOf(this.#trouble)
    const what = refusal === undefined ? 'does not answer' : `refuses to serve (${refusal})`
    const options = applied === 'maybe' ? { cause, applied } : { cause }
    return new GatewayError('UNAVAILABLE', `The session store ${what}.`, options)
  }

  /** Once per outage, not once per try. The error itself shows the command, and so the password. */
  #noteDown(error: Error): void {
    if (this.#trouble === undefined) {
      const reason = refusalOf(error) ?? error.message
      this.#logger.warn({ reason }, 'The session store cannot be reached; trying again.')
    }
    this.#trouble = error
  }

  #noteUp(): void {
    if (this.#trouble !== undefined) this.#logger.info({}, 'The session store is back.')
    this.#trouble = undefined
  }
}

/** Redis answers with its documented error code as the first word: WRONGPASS, READONLY, LOADING … */
function refusalOf(error: unknown): string | undefined {
  if (!(error instanceof Error) || error.name !== 'ReplyError') return undefined
  return /^[A-Z]+(?= )/.exec(error.message)?.[0]
}

function toStored(reply: unknown): StoredSession {
  const [version, session, membership, node, token, idleMs, reader, sees] = reply as string[]
  return {
    version: Number(version),
    session: JSON.parse(session!) as Session,
    membership: membership === '' ? null : (JSON.parse(membership!) as Membership),
    lease: { node: node!, token: Number(token) },
    idleMs: Number(idleMs),
    reader: reader === '' ? null : { id: reader!, sees: Number(sees) },
  }
}
