/**
 * Apache Kafka's own classes, fetched through Maven into the cache of node_modules, and our few Java
 * files compiled against them.
 */
import type { ChildProcess } from 'node:child_process'
import { spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { mkdir, rename, rm } from 'node:fs/promises'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const home = fileURLToPath(new URL('.', import.meta.url))
const cache = fileURLToPath(new URL('../../../node_modules/.cache/ebbgate-kafka/', import.meta.url))
const javaMin = 17
/** A first fetch is some 45 MB. */
const fetchDeadlineMs = 10 * 60_000
const runDeadlineMs = 5 * 60_000
/** Characters of what a program said that an error repeats. */
const outputShown = 4000

/** What is missing here to look with Kafka's eyes, or undefined. */
export function missingForKafka(): string | undefined {
  if (spawnSync('mvn', ['--version'], { stdio: 'ignore' }).error !== undefined) {
    return 'mvn (Maven) is missing'
  }
  const { error, stdout } = spawnSync('javac', ['-version'], { encoding: 'utf8' })
  if (error !== undefined) return 'javac (a JDK) is missing'
  const version = Number(/\d+/.exec(stdout)?.[0])
  return version >= javaMin ? undefined : `Java ${version} is too old, ${javaMin} is needed`
}

export interface JavaRun {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

export class KafkaJars {
  readonly version: string
  readonly #classPath: string

  private constructor(folder: string) {
    this.version = kafkaVersion()
    this.#classPath = [join(folder, 'classes'), join(folder, 'lib', '*')].join(delimiter)
  }

  /** Throws with what Maven or the compiler said when there are no jars to be had. */
  static async fetch(): Promise<KafkaJars> {
    const pom = join(home, 'pom.xml')
    const sources = readdirSync(home).filter((name) => name.endsWith('.java'))
    const hash = createHash('sha256')
    for (const name of ['pom.xml', ...sources.sort()]) hash.update(readFileSync(join(home, name)))
    const folder = join(cache, hash.digest('hex').slice(0, 16))
    if (!existsSync(folder)) {
      const making = `${folder}.tmp`
      await rm(cache, { recursive: true, force: true })
      await mkdir(join(making, 'classes'), { recursive: true })
      const lib = join(making, 'lib')
      const copy = ['dependency:copy-dependencies', `-DoutputDirectory=${lib}`]
      await told(spawn('mvn', ['-B', '-q', '-f', pom, ...copy], quiet), fetchDeadlineMs)
      const to = ['-encoding', 'UTF-8', '-cp', join(lib, '*'), '-d', join(making, 'classes')]
      const files = sources.map((name) => join(home, name))
      await told(spawn('javac', [...to, ...files], quiet), runDeadlineMs)
      await rename(making, folder)
    }
    return new KafkaJars(folder)
  }

  /** Runs a class to its end, whatever its exit code. */
  run(main: string, args: readonly string[], input = ''): Promise<JavaRun> {
    const child = this.start(main, args)
    child.stdin?.end(input)
    return outcome(child, runDeadlineMs)
  }

  /** Runs a class to its end; throws with what it said when it failed. */
  async ask(main: string, args: readonly string[], input = ''): Promise<string> {
    const child = this.start(main, args)
    child.stdin?.end(input)
    return told(child, runDeadlineMs)
  }

  start(main: string, args: readonly string[]): ChildProcess {
    const logging = `-Dlog4j2.configurationFile=${join(home, 'log4j2.properties')}`
    const options = ['-Xmx512m', '-Dfile.encoding=UTF-8', logging, '-cp', this.#classPath]
    return spawn('java', [...options, main, ...args], { stdio: 'pipe' })
  }
}

const quiet = { stdio: ['ignore', 'pipe', 'pipe'] as ['ignore', 'pipe', 'pipe'] }

function kafkaVersion(): string {
  const pom = readFileSync(join(home, 'pom.xml'), 'utf8')
  return /<kafka\.version>(.*)<\/kafka\.version>/.exec(pom)![1]!
}

async function outcome(child: ChildProcess, deadlineMs: number): Promise<JavaRun> {
  const output = { stdout: '', stderr: '' }
  child.stdout?.setEncoding('utf8').on('data', (text: string) => (output.stdout += text))
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (output.stderr += text))
  // A program that ends early does not read its input to the end.
  child.stdin?.on('error', () => undefined)
  const hard = setTimeout(() => child.kill('SIGKILL'), deadlineMs)
  try {
    const [code] = (await once(child, 'close')) as [number | null]
    return { code, ...output }
  } finally {
    clearTimeout(hard)
  }
}

async function told(child: ChildProcess, deadlineMs: number): Promise<string> {
  const { code, stdout, stderr } = await outcome(child, deadlineMs)
  if (code === 0) return stdout
  const said = [stdout, stderr].map((text) => text.slice(-outputShown)).join('\n')
  throw new Error(`${child.spawnargs.join(' ').slice(0, outputShown)} ended with ${code}.\n${said}`)
}
