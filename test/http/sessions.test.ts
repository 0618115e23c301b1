import { sessionHttpSuite } from '../support/session-http-suite.ts'

sessionHttpSuite('sessions in memory', () => Promise.resolve(undefined))
