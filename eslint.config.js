import js from '@eslint/js'
import { defineConfig, globalIgnores } from 'eslint/config'
import tseslint from 'typescript-eslint'

// Time, chance and files come in from outside, so that every room can be tested with a clock that is
// moved by hand, a run that is repeated from one number and a disk that tears. The messages say
// where to get the thing instead.
const clock = 'Time comes from kit/clock.ts: take a Clock.'
const chance = 'Chance comes from kit/random.ts: take a Random.'
const files = 'Files are reached through the Disk port (engine/embedded/disk/).'
const lock = 'node:sqlite holds the directory lock alone: engine/embedded/disk/directory-lock.ts.'

const restrictedTime = [
  { name: 'Date', message: clock },
  { name: 'performance', message: clock },
  { name: 'setTimeout', message: clock },
  { name: 'setInterval', message: clock },
  { name: 'setImmediate', message: clock },
]
const restrictedChance = [
  { object: 'Math', property: 'random', message: chance },
  { object: 'process', property: 'hrtime', message: clock },
  { object: 'crypto', property: 'randomUUID', message: chance },
  { object: 'crypto', property: 'getRandomValues', message: chance },
]
const timeModules = ['node:timers', 'node:timers/promises', 'node:perf_hooks'].map((name) => ({
  name,
  message: clock,
}))
const fileModules = ['node:fs', 'node:fs/promises', 'fs', 'fs/promises'].map((name) => ({
  name,
  message: files,
}))
const lockModules = [{ name: 'node:sqlite', message: lock }]
const chanceModules = [
  {
    name: 'node:crypto',
    importNames: ['randomBytes', 'randomUUID', 'randomInt', 'randomFillSync', 'webcrypto'],
    message: chance,
  },
]

/** The restricted imports without those that the given files are the home of. */
const imports = (...groups) => ['error', { paths: groups.flat() }]

export default defineConfig(
  globalIgnores([
    'dist/',
    'data/',
    'coverage/',
    'src/contract/native.ts',
    'src/contract/v2.ts',
    'src/contract/v3.ts',
  ]),
  js.configs.recommended,
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.recommendedTypeChecked],
    languageOptions: { parserOptions: { projectService: true } },
    rules: {
      // A forgotten promise is the bug of Node servers; the runner owns the promises of its own tests.
      '@typescript-eslint/no-floating-promises': [
        'error',
        {
          allowForKnownSafeCalls: [
            {
              from: 'package',
              name: [
                'test',
                'it',
                'describe',
                'suite',
                'before',
                'after',
                'beforeEach',
                'afterEach',
              ],
              package: 'node:test',
            },
          ],
        },
      ],
      '@typescript-eslint/no-misused-promises': 'error',
      '@typescript-eslint/switch-exhaustiveness-check': [
        'error',
        { considerDefaultExhaustiveForUnions: true },
      ],
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/only-throw-error': 'error',
      '@typescript-eslint/return-await': ['error', 'error-handling-correctness-only'],
      // A port's async method may have nothing to wait for in one of its answers.
      '@typescript-eslint/require-await': 'off',
      '@typescript-eslint/no-unused-vars': [
        'error',
        { argsIgnorePattern: '^_', ignoreRestSiblings: true },
      ],
      '@typescript-eslint/restrict-template-expressions': [
        'error',
        { allowNumber: true, allowBoolean: true },
      ],
      'no-console': 'error',
      eqeqeq: 'error',
    },
  },
  {
    files: ['src/**/*.ts'],
    rules: {
      'no-restricted-globals': ['error', ...restrictedTime],
      'no-restricted-properties': ['error', ...restrictedChance],
      'no-restricted-imports': imports(timeModules, fileModules, lockModules, chanceModules),
      'no-restricted-exports': ['error', { restrictDefaultExports: { direct: true } }],
    },
  },
  {
    files: ['src/kit/clock.ts'],
    rules: { 'no-restricted-globals': 'off', 'no-restricted-properties': 'off' },
  },
  {
    files: ['src/kit/random.ts'],
    rules: {
      'no-restricted-properties': 'off',
      'no-restricted-imports': imports(timeModules, fileModules, lockModules),
    },
  },
  {
    // Reads the contracts and the documents it serves; the roof and the commands open real files.
    files: ['src/engine/embedded/disk/**', 'src/http/**', 'src/app/**', 'src/cli/**'],
    rules: { 'no-restricted-imports': imports(timeModules, lockModules, chanceModules) },
  },
  {
    files: ['src/engine/embedded/disk/directory-lock.ts'],
    rules: { 'no-restricted-imports': imports(timeModules, chanceModules) },
  },
  {
    // monitorEventLoopDelay measures the loop itself: no clock that is passed in could.
    files: ['src/metrics/**'],
    rules: {
      'no-restricted-imports': imports(
        { name: 'node:perf_hooks', importNames: ['performance'], message: clock },
        timeModules.filter(({ name }) => name !== 'node:perf_hooks'),
        fileModules,
        lockModules,
        chanceModules,
      ),
    },
  },
  {
    // The SDK runs in browsers, where the platform's own time and chance are all there is.
    files: ['src/client/**'],
    rules: { 'no-restricted-globals': 'off', 'no-restricted-properties': 'off' },
  },
  {
    files: ['test/**/*.ts'],
    rules: {
      // Servers and sockets in tests hand out untyped bodies; assertions check what arrives.
      '@typescript-eslint/no-unsafe-assignment': 'off',
      '@typescript-eslint/no-unsafe-member-access': 'off',
      '@typescript-eslint/no-unsafe-argument': 'off',
      '@typescript-eslint/no-unsafe-call': 'off',
      '@typescript-eslint/no-unsafe-return': 'off',
    },
  },
  {
    files: ['bin/*.js'],
    languageOptions: { globals: { process: 'readonly', console: 'readonly', URL: 'readonly' } },
  },
  {
    // Programs that talk to a person.
    files: ['test/support/provide.ts', 'test/{bench,torture,demo}/**/*.ts', 'openapi/*.ts'],
    rules: { 'no-console': 'off' },
  },
)
