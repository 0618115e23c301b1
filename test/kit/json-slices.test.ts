import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { JsonFault, JsonSlice } from '../../src/kit/json-scanner.ts'
import {
  checkJson,
  compactJson,
  findJson,
  isFault,
  parsePointer,
  sliceElements,
  sliceMembers,
  sliceValues,
  textOf,
} from '../../src/kit/json-slices.ts'
import { platformTakes, tortureCases } from '../support/json-torture.ts'

const limits = { depthMax: 1000, depthPortable: 64 }

function check(text: string | Uint8Array): JsonSlice | JsonFault {
  return checkJson(Buffer.from(text as string), limits)
}

function textsOf(bytes: Buffer, slices: readonly JsonSlice[] | JsonFault): string[] {
  assert.ok(!isFault(slices), JSON.stringify(slices))
  return slices.map(({ start, end }) => bytes.toString('utf8', start, end))
}

function valuesOf(text: string): string[] {
  const bytes = Buffer.from(text)
  return textsOf(bytes, sliceValues(bytes, limits, 100))
}

function elementsOf(text: string): string[] {
  const bytes = Buffer.from(text)
  return textsOf(bytes, sliceElements(bytes, limits, 100))
}

function isPortable(text: string): boolean {
  const slice = check(text)
  assert.ok(!isFault(slice))
  return slice.portable
}

for (const { name, expect, bytes } of tortureCases) {
  test(`JSONTestSuite: ${name} is judged as JSON.parse over strict UTF-8 judges it`, () => {
    const answer = checkJson(bytes, limits)
    assert.equal(!isFault(answer), platformTakes(bytes))
    if (expect === 'reject') assert.ok(isFault(answer))
  })
}

test('what JSON.parse takes is taken, whatever the layout', () => {
  fc.assert(
    fc.property(fc.json({ noUnicodeString: false }), fc.nat(3), (text, indent) => {
      const laidOut = JSON.stringify(JSON.parse(text), null, indent)
      for (const each of [text, laidOut, ` \t\r\n${laidOut}\n`]) {
        const slice = check(each)
        assert.ok(!isFault(slice), each)
        assert.equal(
          each.trim().length,
          Buffer.from(each).toString('utf8', slice.start, slice.end).length,
        )
      }
    }),
  )
})

test('damaged JSON is taken exactly when JSON.parse takes it', () => {
  const damage = fc.record({
    at: fc.nat(),
    cut: fc.nat(3),
    put: fc.oneof(
      fc.constantFrom('"', '\\', '{', '}', '[', ']', ',', ':', '-', '.', 'e', '0', '1', '\\u', ' '),
      fc.uint8Array({ maxLength: 2 }),
    ),
  })
  fc.assert(
    fc.property(fc.json(), fc.array(damage, { minLength: 1, maxLength: 3 }), (text, hits) => {
      let bytes = Buffer.from(text)
      for (const { at, cut, put } of hits) {
        const from = at % (bytes.length + 1)
        const rest = bytes.subarray(Math.min(from + cut, bytes.length))
        bytes = Buffer.concat([bytes.subarray(0, from), Buffer.from(put as string), rest])
      }
      assert.equal(!isFault(checkJson(bytes, limits)), platformTakes(bytes), bytes.toString('hex'))
    }),
    { numRuns: 2000 },
  )
})

test('strings of any bytes are taken exactly when they are strict UTF-8', () => {
  const unit = fc.oneof(
    fc.constantFrom(0x22, 0x5c, 0x61, 0x80, 0xbf, 0xc0, 0xc1, 0xc2, 0xe0, 0xed, 0xef, 0xf0, 0xf4),
    fc.integer({ min: 0, max: 255 }),
  )
  fc.assert(
    fc.property(fc.array(unit, { maxLength: 8 }), (inner) => {
      const bytes = Buffer.from([0x22, ...inner, 0x22])
      assert.equal(!isFault(checkJson(bytes, limits)), platformTakes(bytes), bytes.toString('hex'))
    }),
    { numRuns: 3000 },
  )
})

test('every pair of bytes, and every three that begin a long sequence, are judged like the platform', () => {
  for (let first = 0; first < 256; first++) {
    for (let second = 0; second < 256; second++) {
      const bytes = Buffer.from([0x22, first, second, 0x22])
      assert.equal(!isFault(checkJson(bytes, limits)), platformTakes(bytes), bytes.toString('hex'))
    }
  }
  for (let first = 0xe0; first < 256; first++) {
    for (let second = 0x7f; second < 0xc1; second++) {
      for (const third of [0x7f, 0x80, 0xbf, 0xc0]) {
        for (const more of [[], [0x80], [0xbf, 0x80]]) {
          const bytes = Buffer.from([0x22, first, second, third, ...more, 0x22])
          assert.equal(
            !isFault(checkJson(bytes, limits)),
            platformTakes(bytes),
            bytes.toString('hex'),
          )
        }
      }
    }
  }
})

test('bytes outside the range are never looked at', () => {
  const bytes = Buffer.from('[{"a":12},"\\u0041é",1.5e3,true]')
  for (let start = 0; start <= bytes.length; start++) {
    for (let end = start; end <= bytes.length; end++) {
      const inside = bytes.subarray(start, end)
      const answer = checkJson(bytes, limits, start, end)
      assert.equal(!isFault(answer), platformTakes(inside), inside.toString())
      if (isFault(answer)) assert.ok(answer.at >= start && answer.at <= end)
    }
  }
})

test('a fault says where reading stopped and why', () => {
  assert.deepEqual(check('{"a":1,}'), { fault: 'syntax', at: 7 })
  assert.deepEqual(check('[1,2'), { fault: 'end', at: 4 })
  assert.deepEqual(check(''), { fault: 'end', at: 0 })
  assert.deepEqual(check('{} x'), { fault: 'syntax', at: 3 })
  assert.deepEqual(check('\ufeff{}'), { fault: 'syntax', at: 0 })
  assert.deepEqual(check(Uint8Array.of(0x22, 0xc0, 0x80, 0x22)), { fault: 'utf8', at: 1 })
})

test('a thousand levels are taken and one more is refused', () => {
  const nested = (depth: number): string => '['.repeat(depth) + ']'.repeat(depth)
  assert.ok(!isFault(check(nested(1000))))
  assert.deepEqual(check(nested(1001)), { fault: 'depth', at: 1000 })
  assert.deepEqual(check('['.repeat(100_000)), { fault: 'depth', at: 1000 })
  assert.deepEqual(check('{"a":'.repeat(100_000)), { fault: 'depth', at: 5000 })
})

test('a value of which some decoder would choke is not portable', () => {
  assert.ok(isPortable('['.repeat(64) + ']'.repeat(64)))
  assert.ok(!isPortable('['.repeat(65) + ']'.repeat(65)))
  assert.ok(isPortable('1.7976931348623157e308'))
  assert.ok(isPortable('[1e308,-1e308,1e-999,123456789012345678901234567890]'))
  assert.ok(!isPortable('1e999'))
  assert.ok(!isPortable('{"a":[-1E+309]}'))
  assert.ok(isPortable('9'.repeat(308)))
  assert.ok(!isPortable('9'.repeat(310)))
  assert.ok(isPortable(`0.${'9'.repeat(400)}`))
  assert.ok(isPortable('"\\ud83d\\ude00"'))
  assert.ok(!isPortable('"\\ud83d"'))
  assert.ok(!isPortable('"\\ude00\\ud83d"'))
  assert.ok(!isPortable('"\\ud83d\\ud83d\\ude00"'))
  assert.ok(!isPortable('{"\\udfff":1}'))
  assert.ok(isPortable('"\\\\ud83d"'))
})

test('lone surrogate escapes are exactly those that JSON.parse makes ill-formed strings of', () => {
  const unit = fc.constantFrom('\\ud800', '\\udbff', '\\udc00', '\\udfff', '\\u0041', 'a', '\\n')
  fc.assert(
    fc.property(fc.array(unit, { maxLength: 6 }), (units) => {
      const text = `"${units.join('')}"`
      assert.equal(isPortable(text), (JSON.parse(text) as string).isWellFormed())
    }),
  )
})

test('the elements of an array are its own bytes, in order', () => {
  assert.deepEqual(
    elementsOf(' [ 49300.00 , {"a" : 1,"a":2} ,"\\u0041",[1, 2], 12345678901234567890 ] '),
    ['49300.00', '{"a" : 1,"a":2}', '"\\u0041"', '[1, 2]', '12345678901234567890'],
  )
  assert.deepEqual(elementsOf('[]'), [])
  assert.deepEqual(elementsOf(' [ ] '), [])
})

test('elements put together again are the array', () => {
  fc.assert(
    fc.property(fc.array(fc.json(), { maxLength: 8 }), (texts) => {
      assert.deepEqual(elementsOf(`[${texts.join(',')}]`), texts)
      assert.deepEqual(elementsOf(` [ ${texts.join(' , ')}\n]`), texts)
      assert.deepEqual(valuesOf(texts.join('\n')), texts)
    }),
  )
})

test('a broken array has no elements', () => {
  for (const text of ['[1,2', '[1 2]', '[,1]', '[1,]', '[1]]', '[1][2]', '{}', '', '[', '[1,,2]']) {
    assert.ok(isFault(sliceElements(Buffer.from(text), limits, 100)), text)
  }
})

test('values in a row need white space only where they would run together', () => {
  assert.deepEqual(valuesOf('{"a":1}{"a":2}'), ['{"a":1}', '{"a":2}'])
  assert.deepEqual(valuesOf('[1][2]"x""y"{}1 2\ntrue null'), [
    '[1]',
    '[2]',
    '"x"',
    '"y"',
    '{}',
    '1',
    '2',
    'true',
    'null',
  ])
  assert.deepEqual(valuesOf(' \n'), [])
  for (const text of ['1"a"', 'true{}', 'null[1]', '1-2', '01', 'truefalse', '1[2]']) {
    assert.ok(isFault(sliceValues(Buffer.from(text), limits, 100)), text)
  }
})

test('more values than allowed are a fault of their own', () => {
  assert.deepEqual(sliceValues(Buffer.from('1 2 3'), limits, 2), { fault: 'count', at: 4 })
  assert.deepEqual(sliceElements(Buffer.from('[1,2,3]'), limits, 2), { fault: 'count', at: 5 })
})

test('broken UTF-8 in one element does not hide the others', () => {
  const bytes = Buffer.concat([Buffer.from('["a","'), Buffer.of(0xff, 0xc3), Buffer.from('","c"]')])
  const elements = sliceElements(bytes, limits, 10)
  assert.ok(!isFault(elements))
  assert.deepEqual(
    elements.map(({ utf8At }) => utf8At),
    [-1, 6, -1],
  )
  assert.deepEqual(
    elements.map(({ portable }) => portable),
    [true, false, true],
  )
})

test('members come in their order, twins and strange names included', () => {
  const bytes = Buffer.from('{"a":1,"__proto__":{"x":2},"a":"3","":null}')
  const members = sliceMembers(bytes, limits, 10)
  assert.ok(!isFault(members))
  assert.deepEqual(
    members.map(({ nameStart, nameEnd, value }) => [
      bytes.toString('utf8', nameStart, nameEnd),
      bytes.toString('utf8', value.start, value.end),
    ]),
    [
      ['a', '1'],
      ['__proto__', '{"x":2}'],
      ['a', '"3"'],
      ['', 'null'],
    ],
  )
  for (const text of ['{"a":1', '{"a"}', '{a:1}', '{"a":1,}', '{"a":1}}', '[]', '{,}', '{"a":}']) {
    assert.ok(isFault(sliceMembers(Buffer.from(text), limits, 10)), text)
  }
})

function find(text: string, pointer: string): string | undefined {
  const bytes = Buffer.from(text)
  const value = checkJson(bytes, limits)
  assert.ok(!isFault(value))
  const found = findJson(bytes, limits, value, parsePointer(pointer)!)
  return found === undefined ? undefined : bytes.toString('utf8', found.start, found.end)
}

test('a pointer finds what RFC 6901 says', () => {
  const text =
    '{"foo":["bar","baz"],"":0,"a/b":1,"c%d":2,"e^f":3,"g|h":4,"i\\\\j":5,"k\\"l":6," ":7,"m~n":8}'
  const expected = {
    '': text,
    '/foo': '["bar","baz"]',
    '/foo/0': '"bar"',
    '/': '0',
    '/a~1b': '1',
    '/c%d': '2',
    '/e^f': '3',
    '/g|h': '4',
    '/i\\j': '5',
    '/k"l': '6',
    '/ ': '7',
    '/m~0n': '8',
  }
  for (const [pointer, value] of Object.entries(expected)) assert.equal(find(text, pointer), value)
  for (const pointer of ['/bar', '/foo/2', '/foo/01', '/foo/-', '/foo/0/x', '//x']) {
    assert.equal(find(text, pointer), undefined, pointer)
  }
  assert.equal(parsePointer('foo'), undefined)
  assert.equal(parsePointer('/~2'), undefined)
  assert.equal(parsePointer('/~'), undefined)
})

test('a pointer sees through escapes in names and takes the last of two twins', () => {
  assert.equal(find('{"\\u0061":1}', '/a'), '1')
  assert.equal(find('{"é":1,"e":2}', '/é'), '1')
  assert.equal(find('{"\\u00e9":1}', '/é'), '1')
  assert.equal(find('{"a":1,"b":0,"a":{"x":2}}', '/a/x'), '2')
  assert.equal(find('{"\\\\":1}', '/\\'), '1')
  assert.equal(find('{"ab":1}', '/a'), undefined)
})

test('a pointer finds what JSON.parse would find', () => {
  const name = fc.string({ unit: 'binary', maxLength: 4 })
  fc.assert(
    fc.property(fc.dictionary(name, fc.jsonValue(), { noNullPrototype: true }), (object) => {
      const text = JSON.stringify(object)
      const parsed = JSON.parse(text) as Record<string, unknown>
      for (const key of Object.keys(parsed)) {
        const pointer = `/${key.replaceAll('~', '~0').replaceAll('/', '~1')}`
        const found = find(text, pointer)
        assert.ok(found !== undefined, pointer)
        assert.deepEqual(JSON.parse(found), parsed[key])
      }
    }),
  )
})

test('the text of a string is a slice unless it has escapes', () => {
  const plain = Buffer.from('"plain é"')
  assert.equal(textOf(plain, 1, plain.length - 1)?.buffer, plain.buffer)
  const escaped = Buffer.from('"\\u00e9\\ud83d\\ude00\\n\\/"')
  assert.equal(Buffer.from(textOf(escaped, 1, escaped.length - 1)!).toString(), 'é😀\n/')
  const lone = Buffer.from('"\\ud83d"')
  assert.equal(textOf(lone, 1, lone.length - 1), undefined)
})

test('a compacted key has no white space outside strings and is otherwise untouched', () => {
  const compact = (text: string): string => Buffer.from(compactJson(Buffer.from(text))).toString()
  assert.equal(compact('{ "a b" :\t[ 1.0 , "\\" x" ] }\n'), '{"a b":[1.0,"\\" x"]}')
  assert.equal(compact('"a \\\\" '), '"a \\\\"')
  const same = Buffer.from('{"a":1}')
  assert.equal(compactJson(same), same)
  fc.assert(
    fc.property(fc.json(), fc.nat(4), (text, indent) => {
      const laidOut = JSON.stringify(JSON.parse(text), null, indent)
      assert.equal(compact(laidOut), JSON.stringify(JSON.parse(text)))
    }),
  )
})
