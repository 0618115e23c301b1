/** Numbers as JSON spells them, compared by what they mean, whatever a double would make of them. */

/** Digits without zeros at either end; the value is 0.DIGITS times ten to the power of `point`. */
interface Decimal {
  readonly negative: boolean
  readonly digits: string
  readonly point: number
}

/** Below, equal to or above zero as `left` is below, equal to or above `right`. */
export function compareDecimals(left: string, right: string): number {
  const [a, b] = [Number(left), Number(right)]
  // Inside this range doubles are what everybody else compares.
  if (Math.abs(a) < 2 ** 53 && Math.abs(b) < 2 ** 53) return a - b
  return compareExactly(decimalOf(left), decimalOf(right))
}

function compareExactly(a: Decimal, b: Decimal): number {
  const aSign = a.digits === '' ? 0 : a.negative ? -1 : 1
  const bSign = b.digits === '' ? 0 : b.negative ? -1 : 1
  if (aSign !== bSign || aSign === 0) return aSign - bSign
  if (a.point !== b.point) return a.point > b.point ? aSign : -aSign
  if (a.digits === b.digits) return 0
  return a.digits > b.digits ? aSign : -aSign
}

function decimalOf(text: string): Decimal {
  const parts = /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/.exec(text)
  if (parts === null) throw new RangeError('This is no JSON number.')
  const [, sign, whole = '', fraction = '', exponent = '0'] = parts
  const all = whole + fraction
  let zeros = 0
  while (zeros < all.length && all.charCodeAt(zeros) === 0x30) zeros++
  let end = all.length
  while (end > zeros && all.charCodeAt(end - 1) === 0x30) end--
  const point = whole.length - zeros + Number(exponent)
  return { negative: sign === '-', digits: all.slice(zeros, end), point }
}
