/**
 * Ties the operations of a contract to the code that answers them: a handler receives what the
 * document promises it and may answer only what the document allows. Types alone, nothing runs.
 */

/** What openapi-typescript makes of one operation. */
interface AnyOperation {
  readonly parameters: { readonly query?: unknown; readonly path?: unknown }
  readonly requestBody?: unknown
  readonly responses: object
}

type Content<T> = T extends { content: infer C } ? C[keyof C] : undefined

/** What the document says about a request, checked before the handler sees it. */
export interface OperationRequest<Operation> {
  readonly params: Operation extends { parameters: { path: infer P } } ? P : undefined
  readonly query: Operation extends { parameters: { query?: infer Q } } ? NonNullable<Q> : undefined
  readonly body: Operation extends { requestBody?: infer B }
    ? Content<NonNullable<B>> | (undefined extends B ? undefined : never)
    : undefined
}

/** A body written by hand, so that stored values keep their bytes; or one that is still growing. */
export interface WrittenBody {
  readonly contentType: string
  readonly bytes: string | Uint8Array | AsyncIterable<Uint8Array>
}

/** One status the document declares, with the body it declares for it; or the same body by hand. */
export type Answer<Operation> = Operation extends { responses: infer Responses }
  ? {
      [Status in keyof Responses & number]: {
        readonly status: Status
        readonly headers?: Readonly<Record<string, string>>
      } & (Content<Responses[Status]> extends undefined
        ? { readonly body?: undefined; readonly written?: undefined }
        : | { readonly body: Content<Responses[Status]>; readonly written?: undefined }
          | { readonly written: WrittenBody; readonly body?: undefined })
    }[keyof Responses & number]
  : never

/**
 * One handler for every operationId of a contract. `Context` is what the door adds to each request.
 * A misspelt operationId does not compile, nor does an answer the document does not know.
 */
export type Handlers<Operations, Context> = {
  readonly [Id in keyof Operations]: Operations[Id] extends AnyOperation
    ? (call: Context & OperationRequest<Operations[Id]>) => Promise<Answer<Operations[Id]>>
    : never
}
