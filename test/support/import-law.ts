/** The law of imports (ARCHITECTURE.md): floors, strangers, adapters, homes of packages, no cycles. */
import { readFileSync, readdirSync } from 'node:fs'
import { isBuiltin } from 'node:module'
import { dirname, join } from 'node:path/posix'
import ts from 'typescript'

/** Source text by path below src, with `/`: `http/native/topics.ts`. */
export type Sources = ReadonlyMap<string, string>

/** Bottom up. A room uses lower floors alone; rooms of one floor do not know each other. */
const floors: readonly (readonly string[])[] = [
  ['kit'],
  ['model', 'contract'],
  ['engine', 'access', 'format', 'metrics'],
  ['produce', 'consume', 'admin'],
  ['http', 'push'],
  ['app'],
  ['cli'],
]

/** Parallel rooms inside a room: neither knows the other. */
const strangers: readonly (readonly [string, string])[] = [
  ['http/native', 'http/v2'],
  ['http/native', 'http/v3'],
  ['http/v2', 'http/v3'],
]

/** The port knows none of its answers. */
const ports: readonly (readonly [port: string, adapters: string])[] = [
  ['engine', 'engine/embedded'],
]

/** Only app names them; their own room may. */
const adapters: readonly string[] = [
  'engine/embedded/',
  'consume/memory-session-store.ts',
  'consume/redis-session-store.ts',
  'metrics/',
]

/** Doors talk to services and never to the engine. */
const doors: readonly string[] = ['http', 'push']

/** The annex runs in browsers: nothing of the server but types of the contracts. */
const annex = 'client'
const annexUses: readonly string[] = ['client', 'contract']
const annexUsers: readonly string[] = ['client', 'cli']

const packageHomes: Readonly<Record<string, readonly string[]>> = {
  fastify: ['http/', 'push/'],
  '@fastify/websocket': ['push/'],
  ws: ['push/'],
  ajv: ['http/contract-document.ts', 'app/config.ts'],
  yaml: ['http/contract-document.ts', 'app/config.ts'],
  ioredis: ['consume/redis-session-store.ts'],
  'prom-client': ['metrics/'],
  pino: ['kit/logger.ts'],
  re2js: ['kit/pattern.ts'],
  commander: ['cli/'],
  '@node-rs/crc32': ['kit/crc32c.ts'],
  snappy: ['kit/snappy.ts'],
  'lz4-napi': ['kit/lz4.ts'],
}

interface Import {
  readonly from: string
  /** A path below src, or the name of a package. */
  readonly to: string
  readonly isPackage: boolean
}

export function readSources(src: URL): Sources {
  const files = readdirSync(src, { recursive: true, encoding: 'utf8' })
    .map((path) => path.replaceAll('\\', '/'))
    .filter((path) => path.endsWith('.ts'))
  return new Map(files.map((path) => [path, readFileSync(new URL(path, src), 'utf8')]))
}

/** What breaks the law: each line names the file, the rule and the way out. */
export function violations(sources: Sources): string[] {
  const imports = [...sources].flatMap(([path, text]) => importsOf(path, text))
  const inside = imports.filter(({ isPackage }) => !isPackage)
  return [
    ...inside.flatMap((one) => brokenRules(one)),
    ...imports.filter(({ isPackage }) => isPackage).flatMap((one) => homeless(one)),
    ...cycles(inside, (path) => path).map(
      (cycle) => `Files import each other in a circle: ${cycle}.`,
    ),
    ...cycles(inside, dirname).map((cycle) => `Folders import each other in a circle: ${cycle}.`),
  ]
}

function importsOf(path: string, text: string): Import[] {
  // Type imports count, and so do dynamic ones.
  const { importedFiles } = ts.preProcessFile(text, true, true)
  return importedFiles
    .filter(({ fileName }) => !isBuiltin(fileName))
    .map(({ fileName }) =>
      fileName.startsWith('.')
        ? { from: path, to: join(dirname(path), fileName), isPackage: false }
        : { from: path, to: packageName(fileName), isPackage: true },
    )
}

function packageName(specifier: string): string {
  return specifier.split('/', specifier.startsWith('@') ? 2 : 1).join('/')
}

function brokenRules({ from, to }: Import): string[] {
  const [user, used] = [roomOf(from), roomOf(to)]
  const broken: string[] = []
  const say = (rule: string): void => void broken.push(`${from} imports ${to}: ${rule}`)

  if (user === annex || used === annex) {
    if (user === annex && !annexUses.includes(used)) say('the SDK imports types of contract alone.')
    if (used === annex && !isOutside(user) && !annexUsers.includes(user)) {
      say('the SDK is for clients; the server does not use it.')
    }
    return broken
  }
  if (!isOutside(user)) {
    if (isOutside(used)) say('main.ts and index.ts are for the outside.')
    else if (user !== used && floorOf(used) >= floorOf(user)) {
      say('imports go down only; declare a narrow interface and let app plug it in.')
    }
  }
  for (const [one, other] of strangers) {
    const met = (a: string, b: string): boolean =>
      from.startsWith(`${a}/`) && to.startsWith(`${b}/`)
    if (met(one, other) || met(other, one)) say('these rooms are strangers.')
  }
  for (const [port, behind] of ports) {
    if (from.startsWith(`${port}/`) && !from.startsWith(behind) && to.startsWith(behind)) {
      say('a port does not know its adapters.')
    }
  }
  const adapter = adapters.find((prefix) => to.startsWith(prefix))
  if (adapter !== undefined && user !== 'app' && user !== used) {
    say('only app names adapters; take the port or declare a meter of your own.')
  }
  if (doors.includes(user) && used === 'engine') say('doors talk to services, never to the engine.')
  return broken
}

function homeless({ from, to }: Import): string[] {
  const homes = packageHomes[to]
  if (homes === undefined) return [`${from} imports the package ${to}, which has no home yet.`]
  if (homes.some((home) => from.startsWith(home))) return []
  return [`${from} imports the package ${to}, whose home is ${homes.join(' and ')}.`]
}

/** `main.ts` and `index.ts` stand in no room. */
function roomOf(path: string): string {
  return path.includes('/') ? (path.split('/')[0] ?? '') : ''
}

function isOutside(room: string): boolean {
  return room === ''
}

function floorOf(room: string): number {
  const floor = floors.findIndex((rooms) => rooms.includes(room))
  if (floor < 0) throw new Error(`The room ${room} has no floor: give it one in import-law.ts.`)
  return floor
}

/** One circle of each knot, as `a -> b -> a`. */
function cycles(imports: readonly Import[], nodeOf: (path: string) => string): string[] {
  const edges = new Map<string, Set<string>>()
  for (const { from, to } of imports) {
    const [a, b] = [nodeOf(from), nodeOf(to)]
    if (a !== b) (edges.get(a) ?? edges.set(a, new Set()).get(a))?.add(b)
  }
  const found: string[] = []
  const done = new Set<string>()
  const visit = (node: string, path: readonly string[]): void => {
    const at = path.indexOf(node)
    if (at >= 0) {
      found.push([...path.slice(at), node].join(' -> '))
      return
    }
    if (done.has(node)) return
    for (const next of edges.get(node) ?? []) visit(next, [...path, node])
    done.add(node)
  }
  for (const node of edges.keys()) visit(node, [])
  return found
}
