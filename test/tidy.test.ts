/** Code about code: the law of imports, and documents that tell the truth. */
import assert from 'node:assert/strict'
import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { basename, join } from 'node:path'
import test from 'node:test'
import { fileURLToPath } from 'node:url'
import { settings } from '../src/app/settings.ts'
import {
  compressionOf,
  configEntries,
  settingsOf,
} from '../src/engine/embedded/catalog/topic-config.ts'
import * as face from '../src/index.ts'
import { catalogue } from '../src/metrics/catalogue.ts'
import type { MetricRow } from '../src/metrics/catalogue.ts'
import { codecs } from '../src/model/record-batch.ts'
import { errorCodes } from '../src/model/errors.ts'
import type { ErrorCode } from '../src/model/errors.ts'
import { nativeErrors } from '../src/http/native/errors.ts'
import { v2Errors } from '../src/http/v2/errors.ts'
import { v3Errors } from '../src/http/v3/errors.ts'
import { closeAfter, closeCodes, pushAnswers } from '../src/push/close-codes.ts'
import { tableRows } from './support/doc-table.ts'
import { readSources, violations } from './support/import-law.ts'

const root = fileURLToPath(new URL('..', import.meta.url))
const read = (path: string): string => readFileSync(join(root, path), 'utf8')
const plant = (path: string, text: string): string[] =>
  violations(new Map([...readSources(new URL('../src/', import.meta.url)), [path, text]]))

test('rooms import downward only, packages stay at home, nothing goes in circles', () => {
  assert.deepEqual(violations(readSources(new URL('../src/', import.meta.url))), [])
})

test('each rule of the law catches a planted violation', () => {
  const planted: readonly (readonly [path: string, text: string, rule: RegExp])[] = [
    ['kit/x.ts', `import '../model/topic.ts'`, /imports go down only/],
    ['format/x.ts', `import type { A } from '../access/origin.ts'`, /imports go down only/],
    ['http/x.ts', `import '../push/y.ts'`, /imports go down only/],
    ['http/native/x.ts', `import type { A } from '../v2/y.ts'`, /strangers/],
    ['http/v3/x.ts', `import type { A } from '../v2/y.ts'`, /strangers/],
    ['http/native/x.ts', `import type { A } from '../v3/y.ts'`, /strangers/],
    ['engine/x.ts', `import '../engine/embedded/y.ts'`, /a port does not know its adapters/],
    ['consume/x.ts', `import '../engine/embedded/y.ts'`, /only app names adapters/],
    ['http/x.ts', `import '../consume/redis-session-store.ts'`, /only app names adapters/],
    ['produce/x.ts', `import '../metrics/metrics.ts'`, /only app names adapters/],
    ['http/x.ts', `import type { Engine } from '../engine/engine.ts'`, /doors talk to services/],
    ['client/x.ts', `import type { A } from '../model/errors.ts'`, /types of contract alone/],
    ['http/x.ts', `import '../client/index.ts'`, /the server does not use it/],
    ['app/x.ts', `import '../main.ts'`, /for the outside/],
    ['model/x.ts', `import 'fastify'`, /whose home is/],
    ['model/x.ts', `import '@node-rs/crc32'`, /whose home is/],
    ['app/x.ts', `await import('left-pad')`, /has no home yet/],
    ['kit/clock.ts', `import type { A } from './lifecycle.ts'\nexport const a = 1`, /^$/],
  ]
  for (const [path, text, rule] of planted) {
    const found = plant(path, text)
    if (rule.source === '^$') assert.deepEqual(found, [], path)
    else
      assert.ok(
        found.some((line) => rule.test(line)),
        `${path}: ${text}\n${found.join('\n')}`,
      )
  }
})

test('circles among files and among folders are caught, type imports included', () => {
  const files = new Map([
    ['kit/a.ts', `import type { B } from './b.ts'`],
    ['kit/b.ts', `import { c } from './c.ts'`],
    ['kit/c.ts', `export type { A } from './a.ts'`],
  ])
  assert.deepEqual(violations(files), [
    'Files import each other in a circle: kit/a.ts -> kit/b.ts -> kit/c.ts -> kit/a.ts.',
  ])
  const folders = new Map([
    ['http/server.ts', `import './native/topics.ts'`],
    ['http/native/topics.ts', `import '../problem.ts'`],
  ])
  assert.deepEqual(violations(folders), [
    'Folders import each other in a circle: http -> http/native -> http.',
  ])
})

test('a room without a floor is asked for one', () => {
  assert.throws(() => plant('cellar/x.ts', `import '../kit/clock.ts'`), /cellar has no floor/)
})

test('docs/config.md shows every setting with its flag, variable and default', () => {
  const [gateway = ''] = read('docs/config.md').split('## Topic settings')
  const rows = tableRows(gateway).map(([key, flag, env, fallback]) => [key, flag, env, fallback])
  const expected = settings.map(({ key, flag, env, default: fallback }) => [
    key,
    flag === undefined ? '' : `--${flag}`,
    env ?? '',
    fallback === undefined
      ? ''
      : typeof fallback === 'string'
        ? fallback
        : JSON.stringify(fallback),
  ])
  assert.deepEqual(rows, expected)
})

test('docs/config.md shows every topic setting, its default and whether it has effect', () => {
  const [, topics = ''] = read('docs/config.md').split('## Topic settings')
  const rows = tableRows(topics).map(([name, fallback, effect]) => [name, fallback, effect])
  const used = usedTopicSettings()
  const expected = configEntries({}).map(({ name, value }) => [
    name,
    value,
    used.has(name) ? 'yes' : 'no',
  ])
  assert.deepEqual(rows, expected)
})

/** Names that the code reads when it makes its own settings of a topic's configuration. */
function usedTopicSettings(): Set<string> {
  const used = new Set<string>()
  for (const type of codecs) {
    const config = new Proxy<Record<string, string>>(
      {},
      {
        get(_, name) {
          used.add(String(name))
          if (name === 'cleanup.policy') return 'compact,delete'
          return name === 'compression.type' ? type : undefined
        },
      },
    )
    settingsOf(config)
    compressionOf(config)
  }
  return used
}

test('docs/metrics.md shows every metric with its kind, labels and help', () => {
  const rows = tableRows(read('docs/metrics.md')).map(([name, kind, labels, help]) => [
    name,
    kind,
    labels?.replaceAll('`', ''),
    help,
  ])
  const expected = Object.entries<MetricRow>(catalogue).map(([name, { kind, labels, help }]) => [
    name,
    kind,
    labels.join(', '),
    help,
  ])
  assert.deepEqual(rows, expected)
})

test('metrics carry our prefix, base units and a help that is a sentence', () => {
  for (const [name, { kind, help, buckets }] of Object.entries<MetricRow>(catalogue)) {
    assert.match(name, /^(ebbgate|process|nodejs)_[a-z0-9_]+$/)
    assert.equal(name.endsWith('_total'), kind === 'counter', name)
    assert.equal(buckets !== undefined, kind === 'histogram', name)
    assert.deepEqual(
      [...(buckets ?? [])].sort((a, b) => a - b),
      buckets ?? [],
      name,
    )
    assert.match(help, /^[A-Z0-9].*\.$/, name)
  }
})

test('docs/errors.md shows every error code and its answer on every surface', () => {
  const expected = Object.entries(errorCodes).map(([name, { retriable, applied }]) => {
    const code = name as ErrorCode
    // What cannot arise on a surface repeats the answer of INTERNAL there.
    const native = String(nativeErrors[code])
    const v2 = v2Errors[code].slice(0, 2).join(' / ')
    const v3 = v3Errors[code].slice(0, 2).join(' / ')
    const socket = socketAnswer(code)
    return {
      code,
      retriable: retriable ? 'yes' : 'no',
      applied,
      native: [native, native === '500' ? '–' : native],
      v2: [v2, v2 === '500 / 500' ? '–' : v2],
      v3: [v3, v3 === '500 / 500' ? '–' : v3],
      socket: [socket, socket === socketAnswer('INTERNAL') ? '–' : socket],
    }
  })
  const rows = tableRows(read('docs/errors.md'))
  assert.deepEqual(
    rows.map(([code]) => code),
    expected.map(({ code }) => code),
  )
  for (const [code, , retriable, applied, native = '', v2 = '', v3 = '', socket = ''] of rows) {
    const row = expected.find((each) => each.code === code)
    assert.ok(row !== undefined)
    assert.deepEqual([retriable, applied], [row.retriable, row.applied], code)
    assert.ok(row.native.includes(native), `${code}: native is ${row?.native[0]}`)
    assert.ok(row.v2.includes(v2), `${code}: v2 is ${row.v2[0]}`)
    assert.ok(row.v3.includes(v3), `${code}: v3 is ${row.v3[0]}`)
    assert.ok(row.socket.includes(socket), `${code}: the socket's is ${row.socket[0]}`)
  }
})

function socketAnswer(code: ErrorCode): string {
  const { say } = pushAnswers[code]
  const close = closeAfter(code)
  return close === undefined ? say : `${say}, close ${closeCodes[close].code}`
}

test('docs/push-protocol.md has a line for every close code', () => {
  const documented = tableRows(read('docs/push-protocol.md')).map(([first]) => first)
  for (const [name, { code }] of Object.entries(closeCodes)) {
    const found = documented.some((cell) => cell === String(code) || cell?.startsWith(`${code} `))
    assert.ok(found, `docs/push-protocol.md has no row for ${code} ${name}`)
  }
})

const documents = readdirSync(root, { recursive: true, encoding: 'utf8' })
  .filter((path) => path.endsWith('.md') && !/^(node_modules|dist|data|\.git)\//.test(path))
  .filter((path) => !path.startsWith('test/fixtures/'))

test('every document has one title and names functions instead of line numbers', () => {
  assert.ok(documents.length > 5)
  for (const path of documents) {
    const prose = read(path).replace(/^(```|~~~)[\s\S]*?^\1/gm, '')
    assert.equal(prose.match(/^# /gm)?.length, 1, `${path} needs exactly one # title`)
    assert.doesNotMatch(prose, /\w\.(ts|js|yaml):\d+/, `${path} names a line; name the function`)
  }
})

test('every link between documents leads to a file', () => {
  for (const path of documents) {
    for (const [, target = ''] of read(path).matchAll(/\]\((?!https?:|mailto:|#|\/)([^)#\s]+)/g)) {
      assert.ok(existsSync(join(root, path, '..', target)), `${path} links to ${target}`)
    }
  }
})

test('every path that ARCHITECTURE.md names exists', () => {
  const text = read('ARCHITECTURE.md')
  const paths = [...text.matchAll(/`((?:src|test|docs|openapi|deploy|bin|\.ci)\/[\w./{},*-]*)`/g)]
  assert.ok(paths.length > 0)
  for (const [, path = ''] of paths) {
    for (const each of braces(path)) {
      const plain = each.includes('*') ? each.slice(0, each.indexOf('*')) : each
      assert.ok(existsSync(join(root, plain)), `ARCHITECTURE.md names ${each}, which is not there`)
    }
  }
})

test('ARCHITECTURE.md has a sentence for every file, and for no other', () => {
  const [, map = ''] = read('ARCHITECTURE.md').split('## File map')
  const described = map.split('### `').flatMap((section) => {
    const folder = section.slice(0, section.indexOf('`'))
    return [...section.matchAll(/^\| `([\w-]+\.ts)` +\| \S/gm)].map(
      ([, file]) => `${folder}/${file}`,
    )
  })
  const sources = [...readSources(new URL('../src/', import.meta.url)).keys()]
  assert.deepEqual(described.sort(), sources.map((path) => `src/${path}`).sort())
})

test('the public face changes on purpose', () => {
  assert.deepEqual(Object.keys(face).sort(), [
    'GatewayError',
    'createGateway',
    'errorCodes',
    'silentLogger',
  ])
})

test('files are named in kebab-case for the noun they hold', () => {
  const sources = [...readSources(new URL('../src/', import.meta.url)).keys()]
  for (const path of sources) {
    assert.match(basename(path), /^[a-z0-9]+(-[a-z0-9]+)*\.ts$/, path)
    assert.doesNotMatch(path, /manager|helper|util|impl\b/i, `${path}: say what it holds`)
  }
})

/** `a/{b,c}.ts` as `a/b.ts` and `a/c.ts`. */
function braces(path: string): string[] {
  const match = /^(.*)\{([^}]*)\}(.*)$/.exec(path)
  if (match === null) return [path]
  const [, head = '', inner = '', tail = ''] = match
  return inner.split(',').flatMap((one) => braces(`${head}${one.trim()}${tail}`))
}
