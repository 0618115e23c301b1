/** The configuration: flags over environment over file over defaults, checked by one JSON Schema. */
import { readFileSync } from 'node:fs'
import type { ErrorObject } from 'ajv'
import { Ajv2020 } from 'ajv/dist/2020.js'
import { parse as parseYaml } from 'yaml'
import { nearest } from '../kit/nearest.ts'
import { GatewayError } from '../model/errors.ts'
import { listenersOf } from './listeners.ts'
import type { GatewayConfig, Setting } from './settings.ts'
import { otherVariables, settings } from './settings.ts'

/** A part of the configuration; what is absent takes its default. */
export type ConfigInput = {
  readonly [Key in keyof GatewayConfig]?: GatewayConfig[Key] extends
    string | number | boolean | undefined
    ? GatewayConfig[Key]
    : Partial<GatewayConfig[Key]>
}

export interface ConfigSources {
  /** By flag, without the dashes: `{ 'log-level': 'debug' }`. Values may be text. */
  readonly flags?: Readonly<Record<string, unknown>>
  readonly env?: Readonly<Record<string, string | undefined>>
  /** Path of a YAML file; wins over EBBGATE_CONFIG. */
  readonly file?: string
}

type Tree = Record<string, unknown>

/**
 * Reads all sources and checks the result.
 * Throws INVALID_CONFIG, whose message names the setting, where it was set, and what it takes.
 */
export function readConfig(sources: ConfigSources): GatewayConfig {
  const env = sources.env ?? {}
  refuseUnknownVariables(env)
  const file = sources.file ?? (env['EBBGATE_CONFIG'] || undefined)
  const merged: Tree = file === undefined ? {} : readFile(file)
  const origins = new Map<string, string>()
  for (const setting of settings) {
    const fromEnv = setting.env === undefined ? undefined : env[setting.env]
    const fromFlag = setting.flag === undefined ? undefined : sources.flags?.[setting.flag]
    if (fromFlag !== undefined) {
      put(merged, setting.key, typed(setting, fromFlag))
      origins.set(setting.key, `--${setting.flag ?? ''}`)
    } else if (fromEnv !== undefined && fromEnv !== '') {
      // An empty variable is what Compose files pass for "not set".
      put(merged, setting.key, typed(setting, fromEnv))
      origins.set(setting.key, setting.env ?? '')
    }
  }
  return check(
    merged,
    (key) => origins.get(key) ?? (file === undefined ? key : `${key} in ${file}`),
  )
}

/** Fills in the defaults and checks. Throws INVALID_CONFIG. */
export function completeConfig(input: ConfigInput): GatewayConfig {
  return check(structuredClone(input), (key) => key)
}

function check(tree: Tree, originOf: (key: string) => string): GatewayConfig {
  for (const { key, default: value } of settings) {
    if (value !== undefined && get(tree, key) === undefined) put(tree, key, structuredClone(value))
  }
  const validate = new Ajv2020({ allErrors: true }).compile<GatewayConfig>(schemaOf(settings))
  if (!validate(tree)) {
    const lines = (validate.errors ?? []).map((error) => explain(error, tree, originOf))
    throw new GatewayError('INVALID_CONFIG', [...new Set(lines)].join('\n'))
  }
  if (tree.engine === 'kafka') {
    throw new GatewayError(
      'INVALID_CONFIG',
      `${originOf('engine')}: the engine 'kafka' is not in this version; use 'embedded'.`,
    )
  }
  refuseOpenDoor(tree, originOf)
  return freeze(tree)
}

/** This version knows no credentials, so being reached from elsewhere must be meant. */
function refuseOpenDoor(config: GatewayConfig, originOf: (key: string) => string): void {
  const open = listenersOf(config).findIndex(({ host }) => !isLoopback(host))
  if (config.anonymous || open < 0) return
  const { host } = listenersOf(config)[open]!
  throw new GatewayError(
    'INVALID_CONFIG',
    `${originOf(open === 0 ? 'host' : 'http.listeners')}: listening on ${host} lets everybody in who can reach it. ` +
      'If that is meant, say so with --anonymous or EBBGATE_ANONYMOUS=1.',
  )
}

export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host)
}

function explain(error: ErrorObject, tree: Tree, originOf: (key: string) => string): string {
  const path = error.instancePath.slice(1).replaceAll('/', '.')
  if (error.keyword === 'additionalProperties') {
    const unknown = [path, String(error.params['additionalProperty'])].filter(Boolean).join('.')
    const meant = nearest(
      unknown,
      settings.map(({ key }) => key),
    )
    const hint = meant === undefined ? '' : ` Did you mean '${meant}'?`
    return `${originOf(unknown)}: there is no such setting.${hint}`
  }
  const setting = settings.find(({ key }) => path === key || path.startsWith(`${key}.`))
  if (setting === undefined) return `${originOf(path)} must hold further settings.`
  const value = setting.secret === true ? 'the value given' : show(get(tree, setting.key))
  return `${originOf(setting.key)}: ${value} is not ${setting.expects}.${kubernetesHint(value)}`
}

/** Kubernetes sets EBBGATE_PORT=tcp://… in every pod beside a service named ebbgate. */
function kubernetesHint(value: string): string {
  if (!value.startsWith("'tcp://")) return ''
  return ' (Kubernetes sets this variable for a service of that name: set enableServiceLinks: false.)'
}

function show(value: unknown): string {
  const text = typeof value === 'string' ? `'${value}'` : JSON.stringify(value)
  return text.length > 100 ? `${text.slice(0, 100)}…` : text
}

function refuseUnknownVariables(env: Readonly<Record<string, string | undefined>>): void {
  const known = [...settings.flatMap(({ env: name }) => name ?? []), ...otherVariables]
  for (const name of Object.keys(env)) {
    if (!name.startsWith('EBBGATE_') || known.includes(name)) continue
    // What Kubernetes sets for a service named ebbgate.
    if (/^EBBGATE_(SERVICE|PORT)_/.test(name)) continue
    const meant = nearest(
      name.slice(8),
      known.map((word) => word.slice(8)),
    )
    const hint = meant === undefined ? '' : ` Did you mean 'EBBGATE_${meant}'?`
    throw new GatewayError('INVALID_CONFIG', `${name}: there is no such setting.${hint}`)
  }
}

function readFile(path: string): Tree {
  let tree: unknown
  try {
    tree = parseYaml(readFileSync(path, 'utf8'))
  } catch (cause) {
    const why = cause instanceof Error ? (cause.message.split('\n')[0] ?? '') : ''
    throw new GatewayError('INVALID_CONFIG', `The config file cannot be read: ${why}`, { cause })
  }
  if (tree === null || tree === undefined) return {}
  if (!isTree(tree)) {
    throw new GatewayError('INVALID_CONFIG', `${path} must hold settings, such as 'port: 8082'.`)
  }
  return tree
}

/** Text from a flag or a variable as the type that the setting takes; what does not fit stays text. */
function typed(setting: Setting, value: unknown): unknown {
  if (typeof value !== 'string') return value
  switch (setting.schema['type']) {
    case 'integer':
      return /^\d{1,15}$/.test(value) ? Number(value) : value
    case 'boolean':
      if (/^(1|true|yes|on)$/i.test(value)) return true
      return /^(0|false|no|off)$/i.test(value) ? false : value
    case 'array':
      return value.split(',').map((item) => item.trim())
    default:
      return value
  }
}

function schemaOf(rows: readonly Setting[]): object {
  const root = { type: 'object', properties: {} as Tree, additionalProperties: false }
  for (const { key, schema } of rows) {
    const [first = '', second] = key.split('.')
    if (second === undefined) root.properties[first] = schema
    else {
      root.properties[first] ??= { type: 'object', properties: {}, additionalProperties: false }
      ;(root.properties[first] as typeof root).properties[second] = schema
    }
  }
  return root
}

function isTree(value: unknown): value is Tree {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function get(tree: Tree, key: string): unknown {
  const [first = '', second] = key.split('.')
  const value = tree[first]
  if (second === undefined) return value
  return isTree(value) ? value[second] : undefined
}

/** Leaves a tree alone whose branch is no branch: the schema then says what is wrong with it. */
function put(tree: Tree, key: string, value: unknown): void {
  const [first = '', second] = key.split('.')
  if (second === undefined) tree[first] = value
  else {
    tree[first] ??= {}
    if (isTree(tree[first])) tree[first][second] = value
  }
}

function freeze(tree: Tree): GatewayConfig {
  for (const value of Object.values(tree)) {
    if (typeof value === 'object') freeze(value as Tree)
  }
  return Object.freeze(tree) as unknown as GatewayConfig
}
