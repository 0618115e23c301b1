/** How keys and values look outside: the words that every surface uses. */

export const outFormats = ['json', 'text', 'binary'] as const

/** What a reader asks for. `json` falls back to text, text to binary, record by record. */
export type OutFormat = (typeof outFormats)[number]
