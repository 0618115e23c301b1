/** The commands and their options. Each command's code is loaded when it is called. */
import { Command, CommanderError, InvalidArgumentError, Option } from 'commander'
import { nearest } from '../kit/nearest.ts'
import { GatewayError } from '../model/errors.ts'
import type { ApiOptions } from './api.ts'
import type { ConsumeOptions } from './consume.ts'
import { Failure, exitFailed, exitUsage } from './failure.ts'
import type { ResetOptions } from './groups.ts'
import { leaveWhenNobodyReads } from './output.ts'
import type { DoctorOptions } from './doctor.ts'
import type { LogDumpOptions } from './log-dump.ts'
import type { AlterOptions, CreateOptions, GrowOptions } from './topics.ts'
import { version } from '../app/version.ts'

/** Runs what the arguments say and sets the exit code. `args` are without node and the script. */
export async function run(args: readonly string[]): Promise<void> {
  try {
    const program = createProgram()
    refuseUnknownCommand(program, args[0])
    await program.parseAsync([...args], { from: 'user' })
  } catch (error) {
    process.exitCode = report(error)
  }
}

/** Says on stderr what went wrong and gives the exit code. */
function report(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : exitUsage
  if (error instanceof Failure || error instanceof GatewayError) {
    for (const line of error.message.split('\n')) process.stderr.write(`ebbgate: ${line}\n`)
    return error instanceof Failure ? error.exitCode : exitFailed
  }
  // Not foreseen, so whoever repairs it needs to see where it came from.
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error)
  process.stderr.write(`ebbgate: ${text}\n`)
  return exitFailed
}

function createProgram(): Command {
  const program = new Command('ebbgate')
    .description('HTTP and WebSocket event gateway for partitioned logs')
    .version(version, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print this help')
    .helpCommand(false)
    .exitOverride()
    .configureHelp({ sortSubcommands: false, showGlobalOptions: false })
  addServe(program)
  addTopics(program)
  addGroups(program)
  addProduce(program)
  addConsume(program)
  addLog(program)
  addBackup(program)
  addRestore(program)
  addDoctor(program)
  return program
}

function addServe(program: Command): void {
  program
    .command('serve', { isDefault: true })
    .description('start a gateway; also what happens without a command')
    .option('--host <address>', 'address to listen on (default 127.0.0.1)')
    .option('--port <number>', 'port to listen on; 0 picks a free one (default 8082)')
    .option('--data <folder>', 'data folder, made when it is missing (default ./data)')
    .option('--engine <name>', 'what stores the events: embedded')
    .option('--sessions <where>', 'where consumer sessions live: memory, or the URL of a Redis')
    .option('--config <file>', 'YAML file with settings (docs/config.md)')
    .option('--log-level <level>', 'silent, error, warn, info or debug; logs go to stderr')
    .option('--recover <how>', 'drop-damaged-journal: give up what damage cut off (docs/config.md)')
    .option('--anonymous', 'let everybody in who can reach the address')
    .option('--backup-root <folder>', 'folder below which back-ups may be written')
    .option('--public-url <url>', 'base URL that clients use when a proxy stands in between')
    .addHelpText('after', '\nEvery option can be set as EBBGATE_<OPTION> or in the config file.')
    .action(async (options: Record<string, unknown>) => {
      const { serve } = await import('./serve.ts')
      await serve(options)
    })
}

function addTopics(program: Command): void {
  const topics = program
    .command('topics')
    .description('create, list, describe, change and delete topics')
  withGateway(topics.command('create <name>'))
    .description('create a topic and describe it')
    .option('--partitions <number>', 'how many partitions (default 1)', wholeNumber)
    .option('--config <name=value...>', 'topic settings, such as retention.ms=86400000')
    .option('--if-not-exists', 'an existing topic of that name will do')
    .action(async (name: string, options: CreateOptions) =>
      (await import('./topics.ts')).createTopic(name, options),
    )
  withGateway(topics.command('list'))
    .description('list topics by name')
    .action(async (options: ApiOptions) => (await import('./topics.ts')).listTopics(options))
  withGateway(topics.command('describe <name>'))
    .description('show a topic and where its partitions begin and end')
    .action(async (name: string, options: ApiOptions) =>
      (await import('./topics.ts')).describeTopic(name, options),
    )
  withGateway(topics.command('alter <name>'))
    .description('change settings of a topic and describe it')
    .option('--config <name=value...>', 'settings to change, such as retention.ms=86400000')
    .option('--delete-config <name...>', 'settings that get their defaults back')
    .addHelpText('after', '\nThe settings, their defaults and what they do: docs/config.md.')
    .action(async (name: string, options: AlterOptions) =>
      (await import('./topics.ts')).alterTopic(name, options),
    )
  withGateway(topics.command('grow <name>'))
    .description('add partitions to a topic and describe it')
    .requiredOption('--partitions <number>', 'how many there are to be in all', wholeNumber)
    .addHelpText('after', '\nRecords of one key may go to another partition from then on.')
    .action(async (name: string, options: GrowOptions) =>
      (await import('./topics.ts')).growTopic(name, options),
    )
  withGateway(topics.command('delete <name...>'))
    .description('delete topics with everything in them')
    .action(async (names: string[], options: ApiOptions) =>
      (await import('./topics.ts')).deleteTopics(names, options),
    )
}

function addGroups(program: Command): void {
  const groups = program
    .command('groups')
    .description('list, describe, reset and delete consumer groups')
  withGateway(groups.command('list'))
    .description('list groups by name')
    .action(async (options: ApiOptions) => (await import('./groups.ts')).listGroups(options))
  withGateway(groups.command('describe <name>'))
    .description('show the members of a group and its lag in every partition')
    .action(async (name: string, options: ApiOptions) =>
      (await import('./groups.ts')).describeGroup(name, options),
    )
  withGateway(groups.command('reset <name>'))
    .description('set where a group goes on; only while it has no members')
    .requiredOption('--to <place>', 'earliest, latest, time:<ms or ISO 8601>, offset:<n>, last:<n>')
    .option('--topic <name...>', 'only these topics (default: all that the group has committed)')
    .option('--partition <number>', 'only this partition', partitionNumber)
    .option('--dry-run', 'say what would be moved, and change nothing')
    .action(async (name: string, options: ResetOptions) =>
      (await import('./groups.ts')).resetGroup(name, options),
    )
  withGateway(groups.command('delete <name...>'))
    .description('delete groups with their committed offsets; only while they have no members')
    .action(async (names: string[], options: ApiOptions) =>
      (await import('./groups.ts')).deleteGroups(names, options),
    )
}

function addProduce(program: Command): void {
  withGateway(program.command('produce <topic>'))
    .description('write every line of standard input as an event')
    .addHelpText(
      'after',
      '\nEnds with 0 when every line is acknowledged, which means: on disk.' +
        "\nExample: printf 'first\\nsecond\\n' | ebbgate produce quickstart-events",
    )
    .action(async (topic: string, options: ApiOptions) =>
      (await import('./produce.ts')).produce(topic, options),
    )
}

function addConsume(program: Command): void {
  withGateway(program.command('consume <topic>'))
    .description('print the values of events, one a line, as they come')
    .option('--from-beginning', 'begin with the oldest event instead of the next new one')
    .option('--max <number>', 'end after this many events', wholeNumber)
    .option(
      '--group <name>',
      'share the topic with the other consumers of this group, and go on where it left off; ' +
        'a new group begins with the oldest event',
    )
    .addHelpText('after', '\nCtrl-C ends it. A record without a value is printed as null.')
    .action(async (topic: string, options: ConsumeOptions) =>
      (await import('./consume.ts')).consume(topic, options),
    )
}

function addLog(program: Command): void {
  const log = program.command('log').description('look into the files of a data folder')
  log
    .command('dump <path...>')
    .hook('preAction', leaveWhenNobodyReads)
    .description('print segments, indexes, journal files and snapshots; a folder: all in it')
    .option('--deep', 'print every record, every entry of a journal frame')
    .option('--records', 'print every record with its key and payload')
    .option('--base64', 'print keys and payloads in base64')
    .option('--verify', 'hold indexes against their log instead of printing them')
    .addHelpText(
      'after',
      '\nOnly reads, so it may run beside a gateway. Lines that begin with DAMAGE tell what cannot be' +
        '\nread; then it ends with 1. Example: ebbgate log dump ./data/logs/quickstart-events-0',
    )
    .action(async (paths: string[], options: LogDumpOptions) =>
      (await import('./log-dump.ts')).logDump(paths, options),
    )
}

function addBackup(program: Command): void {
  withGateway(program.command('backup <directory>'))
    .description('copy everything into a new folder, while the gateway goes on')
    .addHelpText(
      'after',
      "\nThe gateway writes the folder on its own machine. On the data folder's file system it takes" +
        '\nhard links instead of copies. docs/operations.md says how to restore.',
    )
    .action(async (directory: string, options: ApiOptions) =>
      (await import('./backup.ts')).backup(directory, options),
    )
}

function addRestore(program: Command): void {
  program
    .command('restore <directory>')
    .hook('preAction', leaveWhenNobodyReads)
    .description('make a data folder of a back-up, and verify every batch of it')
    .requiredOption('--data <folder>', 'the new data folder; it must not be there, or be empty')
    .addHelpText(
      'after',
      '\nEnds with 1 when the back-up has damage; what can be read is restored.',
    )
    .action(async (directory: string, options: { readonly data: string }) =>
      (await import('./restore.ts')).restore(directory, options),
    )
}

function addDoctor(program: Command): void {
  program
    .command('doctor')
    .hook('preAction', leaveWhenNobodyReads)
    .description('verify a data folder whose gateway is stopped, and explain what is wrong')
    .addOption(
      new Option('--data <folder>', 'the data folder').env('EBBGATE_DATA').default('./data'),
    )
    .option('--read-only', 'take no lock; beside a running gateway its writes may look like damage')
    .option('--export <directory>', 'write the good records of damaged partitions there, as NDJSON')
    .option('--topic <name...>', 'with --export: these topics, damaged or not')
    .option('--rebuild-indexes', 'make damaged indexes again from their log')
    .option('--move-damage-aside', 'move damaged bytes to quarantine/, so that the rest goes on')
    .addHelpText(
      'after',
      '\nEnds with 0 when everything is sound, with 1 when there is damage. It never deletes.',
    )
    .action(async (options: DoctorOptions) => (await import('./doctor.ts')).doctor(options))
}

/** The options of every command that talks to a gateway. */
function withGateway(command: Command): Command {
  return command
    .hook('preAction', leaveWhenNobodyReads)
    .addOption(
      new Option('--url <url>', 'where the gateway is')
        .env('EBBGATE_URL')
        .default('http://127.0.0.1:8082'),
    )
    .addOption(new Option('--key <key>', 'API key').env('EBBGATE_KEY'))
}

function wholeNumber(text: string): number {
  if (!/^[1-9]\d{0,14}$/.test(text))
    throw new InvalidArgumentError('It must be a whole number above 0.')
  return Number(text)
}

function partitionNumber(text: string): number {
  if (!/^\d{1,10}$/.test(text)) throw new InvalidArgumentError('It must be a whole number.')
  return Number(text)
}

/** Without this, a misspelt command would be taken for an argument of `serve`. */
function refuseUnknownCommand(program: Command, word: string | undefined): void {
  const known = program.commands.map((command) => command.name())
  if (word === undefined || word.startsWith('-') || known.includes(word)) return
  const meant = nearest(word, known)
  throw new Failure(
    `There is no command '${word}'. ` +
      (meant === undefined ? `Commands are: ${known.join(', ')}.` : `Did you mean '${meant}'?`),
    { exitCode: exitUsage },
  )
}
