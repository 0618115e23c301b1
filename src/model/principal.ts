/** Who asks. Every service verb takes a Principal, anonymous until credentials exist. */

export interface Principal {
  /** Stable name of the caller; sessions belong to it. */
  readonly subject: string
  readonly anonymous: boolean
}

export const anonymous: Principal = { subject: 'anonymous', anonymous: true }
