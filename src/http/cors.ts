/** Cross-origin resource sharing for listed origins: exact names, never credentials. */

const allowedHeaders = [
  'authorization',
  'x-api-key',
  'content-type',
  'content-encoding',
  'idempotency-key',
  'prefer',
  'traceparent',
  'last-event-id',
  'ebbgate-key',
]

const exposedHeaders = [
  'Retry-After',
  'Location',
  'Ebbgate-Position',
  'Ebbgate-Records',
  'Ebbgate-Failed',
  'Ebbgate-Deduplicated',
  'Ebbgate-Request-Id',
  'Ebbgate-Cursor',
  'Ebbgate-Skip-To',
].join(', ')

/** What an answer to a page of a listed origin carries. */
export function corsHeaders(origin: string): Record<string, string> {
  return {
    'access-control-allow-origin': origin,
    'access-control-expose-headers': exposedHeaders,
    vary: 'Origin',
  }
}

/** `wanted` is the request's list; of it only `Ebbgate-Header-<name>` is added to what is allowed. */
export function preflightHeaders(
  origin: string,
  wanted: string | undefined,
): Record<string, string | number> {
  const own = (wanted ?? '')
    .toLowerCase()
    .split(',')
    .map((name) => name.trim())
    .filter((name) => /^ebbgate-header-[a-z0-9!#$%&'*+.^_`|~-]{1,100}$/.test(name))
  return {
    'access-control-allow-origin': origin,
    'access-control-allow-methods': 'GET, HEAD, POST, PUT, PATCH, DELETE',
    'access-control-allow-headers': [...allowedHeaders, ...own].join(', '),
    // The longest that Chromium honours, in seconds.
    'access-control-max-age': 7200,
    vary: 'Origin',
  }
}
