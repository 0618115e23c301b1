/**
 * Every setting of the gateway in one table: its key in the config file, its flag, its environment
 * variable, its default, what it takes. docs/config.md shows the same table, and a test compares them.
 */
import type { DialectName } from '../http/v2/dialects.ts'
import { dialectNames } from '../http/v2/dialects.ts'
import { logLevels } from '../kit/logger.ts'
import type { LogLevel } from '../kit/logger.ts'
import { listenerPattern } from './listeners.ts'

export interface GatewayConfig {
  readonly host: string
  /** 0 picks a free port. */
  readonly port: number
  /** The data folder, made when it is missing. */
  readonly data: string
  readonly engine: 'embedded' | 'kafka'
  /** `memory`, or where Redis is: a redis, rediss or unix URL, or the absolute path of its socket. */
  readonly sessions: string
  readonly logLevel: LogLevel
  /** For one start: gives up what stands behind damage in the journal. */
  readonly recover?: 'drop-damaged-journal'
  /** Lets callers without a credential in, also from outside this machine. */
  readonly anonymous: boolean
  readonly http: {
    /** What clients call the gateway when a proxy stands before it. */
    readonly publicUrl?: string
    /** Names besides loopback and IP literals that a `Host` header may carry. */
    readonly allowedHosts: readonly string[]
    /** Proxies whose word about the address that the client used is taken. */
    readonly trustedProxies: readonly string[]
    /** How v2 is spoken at `port`. */
    readonly dialect: DialectName
    /** Further places to listen, each with its dialect: `strimzi=8083`. */
    readonly listeners: readonly string[]
  }
  readonly cors: {
    /** Web pages of these origins may use the gateway. */
    readonly origins: readonly string[]
  }
  readonly backup?: {
    /** Back-ups are written below this folder. */
    readonly root?: string
  }
  readonly topics: {
    /** Where a produce to a missing topic makes it: `compat` (v2 and v3), `all`, `none`. */
    readonly autoCreate: 'compat' | 'all' | 'none'
  }
  readonly shutdown: {
    /** How long requests in flight may take to finish when the gateway stops, ms. */
    readonly graceMs: number
  }
}

export interface Setting {
  readonly key: string
  readonly flag?: string
  readonly env?: string
  readonly default?: unknown
  /** A JSON Schema of one value. */
  readonly schema: Readonly<Record<string, unknown>>
  /** Completes "… is not". */
  readonly expects: string
  readonly help: string
  /** The value may carry a password and is not shown. */
  readonly secret?: boolean
}

const hostName = { type: 'string', minLength: 1, maxLength: 255 }
const list = (items: object): Record<string, unknown> => ({ type: 'array', items, maxItems: 1000 })

export const settings: readonly Setting[] = [
  {
    key: 'host',
    flag: 'host',
    env: 'EBBGATE_HOST',
    default: '127.0.0.1',
    schema: { ...hostName, pattern: '^[A-Za-z0-9.:_-]+$' },
    expects: 'an address or a host name',
    help: 'address to listen on',
  },
  {
    key: 'port',
    flag: 'port',
    env: 'EBBGATE_PORT',
    default: 8082,
    schema: { type: 'integer', minimum: 0, maximum: 65535 },
    expects: 'a port number from 0 to 65535 (0 picks a free one)',
    help: 'port to listen on; 0 picks a free one',
  },
  {
    key: 'data',
    flag: 'data',
    env: 'EBBGATE_DATA',
    default: './data',
    schema: { type: 'string', minLength: 1, maxLength: 4096, pattern: '^[^\\u0000]+$' },
    expects: 'the path of a folder',
    help: 'data folder, made when it is missing',
  },
  {
    key: 'engine',
    flag: 'engine',
    env: 'EBBGATE_ENGINE',
    default: 'embedded',
    schema: { enum: ['embedded', 'kafka'] },
    expects: "'embedded' or 'kafka'",
    help: 'what stores the events; this version has the embedded engine',
  },
  {
    key: 'sessions',
    flag: 'sessions',
    env: 'EBBGATE_SESSIONS',
    default: 'memory',
    schema: { type: 'string', maxLength: 2048, pattern: '^(memory|rediss?://.+|unix:///.+|/.+)$' },
    expects: "'memory', a redis://, rediss:// or unix:// URL, or the path of Redis's socket",
    help: "where consumer sessions live: 'memory' or Redis",
    secret: true,
  },
  {
    key: 'logLevel',
    flag: 'log-level',
    env: 'EBBGATE_LOG_LEVEL',
    default: 'info',
    schema: { enum: logLevels },
    expects: `one of ${logLevels.join(', ')}`,
    help: `how much is logged on stderr: ${logLevels.join(', ')}`,
  },
  {
    key: 'recover',
    flag: 'recover',
    env: 'EBBGATE_RECOVER',
    schema: { enum: ['drop-damaged-journal'] },
    expects: "'drop-damaged-journal'",
    help: 'for one start: give up what stands behind damage in the journal; it is copied first',
  },
  {
    key: 'anonymous',
    flag: 'anonymous',
    env: 'EBBGATE_ANONYMOUS',
    default: false,
    schema: { type: 'boolean' },
    expects: 'true or false',
    help: 'let everybody in who can reach the address, also from outside this machine',
  },
  {
    key: 'http.publicUrl',
    flag: 'public-url',
    env: 'EBBGATE_PUBLIC_URL',
    schema: { type: 'string', maxLength: 2048, pattern: '^https?://[^/?#@\\s]+(/[^?#\\s]*)?$' },
    expects: 'an http:// or https:// URL without credentials and query',
    help: 'base URL that clients use when a proxy stands before the gateway',
  },
  {
    key: 'http.allowedHosts',
    env: 'EBBGATE_ALLOWED_HOSTS',
    default: [],
    schema: list(hostName),
    expects: 'a list of host names',
    help: 'names besides loopback and IP addresses by which clients may call the gateway',
  },
  {
    key: 'http.trustedProxies',
    env: 'EBBGATE_TRUSTED_PROXIES',
    default: [],
    schema: list({ type: 'string', maxLength: 50, pattern: '^[0-9A-Fa-f:.]+(/[0-9]{1,3})?$' }),
    expects: 'a list of IP addresses and networks such as 10.0.0.0/8',
    help: 'proxies whose Forwarded and X-Forwarded-* headers say how clients reach the gateway',
  },
  {
    key: 'http.dialect',
    flag: 'dialect',
    env: 'EBBGATE_DIALECT',
    default: 'confluent',
    schema: { enum: dialectNames },
    expects: `one of ${dialectNames.join(', ')}`,
    help: `whose v2 REST API is spoken on the port: ${dialectNames.join(', ')}`,
  },
  {
    key: 'http.listeners',
    env: 'EBBGATE_LISTENERS',
    default: [],
    schema: list({ type: 'string', maxLength: 300, pattern: listenerPattern }),
    expects: "a list of listeners such as 'strimzi=8083' or 'karapace=127.0.0.1:8084'",
    help: 'further ports, each with the dialect that is spoken there: strimzi=8083',
  },
  {
    key: 'cors.origins',
    env: 'EBBGATE_CORS_ORIGINS',
    default: [],
    schema: list({ type: 'string', maxLength: 300, pattern: '^https?://[^/?#@\\s]+$' }),
    expects: 'a list of origins such as https://app.example.com',
    help: 'origins whose web pages may use the gateway',
  },
  {
    key: 'backup.root',
    flag: 'backup-root',
    env: 'EBBGATE_BACKUP_ROOT',
    schema: { type: 'string', minLength: 1, maxLength: 4096, pattern: '^/[^\\u0000]*$' },
    expects: 'the absolute path of a folder',
    help: 'folder below which back-ups may be written; without it anywhere, asked from this machine alone',
  },
  {
    key: 'topics.autoCreate',
    default: 'compat',
    schema: { enum: ['compat', 'all', 'none'] },
    expects: "'compat', 'all' or 'none'",
    help: 'surfaces on which a produce to a missing topic makes it: compat (v2), all, none',
  },
  {
    key: 'shutdown.graceMs',
    default: 3000,
    schema: { type: 'integer', minimum: 0, maximum: 600_000 },
    expects: 'a number of milliseconds from 0 to 600000',
    help: 'how long requests in flight may take to finish when the gateway stops, ms',
  },
]

/** Environment variables of ours that are not settings of the gateway. */
export const otherVariables: readonly string[] = ['EBBGATE_CONFIG', 'EBBGATE_URL', 'EBBGATE_KEY']
