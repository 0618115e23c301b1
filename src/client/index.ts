/** `ebbgate/client`: reads topics as they grow, in browsers and in Node, over any number of breaks. */
export { connect } from './client.ts'
export type { Client, ClientState, ConnectOptions } from './client.ts'
export { EbbgateError } from './messages.ts'
export type { ClientRecord, GapMessage } from './messages.ts'
export type { ClientSubscription, SubscribeOptions } from './subscription.ts'
