/** No container engine is needed to see that the image and the Compose file fit the program. */
import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import test from 'node:test'
import { fileURLToPath } from 'node:url'
import { Script } from 'node:vm'
import { parse } from 'yaml'
import { readConfig } from '../src/app/config.ts'

const root = fileURLToPath(new URL('..', import.meta.url))
const read = (path: string): string => readFileSync(join(root, path), 'utf8')
const dockerfile = read('Dockerfile')

function instructions(word: string): string[] {
  const joined = dockerfile.replaceAll('\\\n', ' ')
  return [...joined.matchAll(new RegExp(`^${word} +(.*)$`, 'gm'))].map(([, rest = '']) =>
    rest.trim(),
  )
}

/** What the image's ENV lines set, as the gateway would read it. */
function imageEnv(): Record<string, string> {
  const pairs = instructions('ENV').flatMap((line) => line.split(/\s+/))
  return Object.fromEntries(pairs.map((pair) => pair.split('=') as [string, string]))
}

test('the image is built in two stages and runs without root', () => {
  assert.equal(instructions('FROM').length, 2)
  assert.ok(dockerfile.lastIndexOf('USER node') > dockerfile.lastIndexOf('FROM'))
  assert.ok(instructions('VOLUME').includes('/data'))
})

test('everything the image copies is in the repository and passes .dockerignore', () => {
  const allowed = read('.dockerignore')
    .split('\n')
    .filter((line) => line.startsWith('!'))
    .map((line) => line.slice(1))
  const copied = instructions('COPY')
    .filter((line) => !line.startsWith('--from'))
    .flatMap((line) => line.split(/\s+/).slice(0, -1))
  assert.ok(copied.length > 5)
  for (const path of copied) {
    assert.ok(existsSync(join(root, path)), path)
    assert.ok(allowed.includes(path), `${path} is hidden by .dockerignore`)
  }
  const [entry] = instructions('ENTRYPOINT')
  assert.deepEqual(JSON.parse(entry ?? ''), ['node', 'bin/ebbgate.js'])
})

test('the health check of the image is a program that Node can read and asks /readyz', () => {
  const [check = ''] = instructions('HEALTHCHECK')
  const command = JSON.parse(check.slice(check.indexOf('['))) as string[]
  assert.deepEqual(command.slice(0, 2), ['node', '-e'])
  assert.match(command[2] ?? '', /\/readyz/)
  assert.doesNotThrow(() => new Script(command[2] ?? ''))
})

test('the image says no by itself to callers it cannot know, until it is told otherwise', () => {
  const env = imageEnv()
  assert.equal(env['EBBGATE_HOST'], '0.0.0.0')
  assert.equal(env['EBBGATE_DATA'], '/data')
  assert.throws(() => readConfig({ env }), /EBBGATE_ANONYMOUS/)
  assert.equal(readConfig({ env: { ...env, EBBGATE_ANONYMOUS: '1' } }).host, '0.0.0.0')
})

interface Service {
  readonly image?: string
  readonly build?: string
  readonly environment?: Readonly<Record<string, string>>
  readonly ports?: readonly string[]
  readonly volumes?: readonly string[]
  readonly depends_on?: Readonly<Record<string, { condition: string }>>
}

test('the Compose file is whole: services, volumes and mounted files exist, the settings are ours', () => {
  const compose = parse(read('deploy/compose.yaml')) as {
    services: Record<string, Service>
    volumes: Record<string, unknown>
  }
  assert.deepEqual(Object.keys(compose.services).sort(), ['gateway', 'prometheus', 'redis'])
  for (const [name, service] of Object.entries(compose.services)) {
    for (const needed of Object.keys(service.depends_on ?? {}))
      assert.ok(needed in compose.services)
    for (const volume of service.volumes ?? []) {
      const [source = ''] = volume.split(':')
      if (source.startsWith('.')) assert.ok(existsSync(join(root, 'deploy', source)), volume)
      else assert.ok(source in compose.volumes, `${name}: ${volume}`)
    }
    for (const port of service.ports ?? []) assert.match(port, /^127\.0\.0\.1:/)
    assert.doesNotMatch(service.image ?? '', /:latest$/)
  }
  const { gateway } = compose.services
  assert.ok(existsSync(join(root, 'deploy', gateway?.build ?? '', 'Dockerfile')))
  const config = readConfig({ env: { ...imageEnv(), ...gateway?.environment } })
  assert.equal(new URL(config.sessions).hostname, 'redis')
  assert.ok('redis' in compose.services)

  const prometheus = parse(read('deploy/prometheus/prometheus.yml')) as {
    scrape_configs: { static_configs: { targets: string[] }[] }[]
  }
  const targets = prometheus.scrape_configs.flatMap(({ static_configs }) =>
    static_configs.flatMap((each) => each.targets),
  )
  for (const target of targets) {
    const [host = '', port] = target.split(':')
    assert.ok(host in compose.services)
    assert.ok(config.http.allowedHosts.includes(host), `${host} would be refused as a Host`)
    assert.equal(Number(port), config.port)
  }
  assert.ok(existsSync(dirname(join(root, 'deploy/prometheus/prometheus.yml'))))
})
