/**
 * Members and epochs as journal entries: a state machine over GROUP entries. An entry is a type byte
 * and UTF-8 JSON (see GroupJson); a snapshot is a version byte and a JSON array of whole groups.
 *
 * While members live in memory only it is deaf and its snapshot is empty, so that a data folder can
 * change between the two ways at any start.
 */
import type { StateEntry, StateMachine } from '../journal/state-machine.ts'
import { entryKinds } from '../journal/state-machine.ts'
import type { GroupJson } from './group.ts'
import { Group } from './group.ts'
import type { GroupCatalog } from './group-catalog.ts'

const changeType = 1
const snapshotVersion = 1

export class GroupJournal implements StateMachine {
  readonly kind = entryKinds.GROUP
  /** Whether members outlive the process. */
  readonly isKept: boolean
  readonly groups: Map<string, Group>
  readonly #catalog: GroupCatalog

  constructor(groups: Map<string, Group>, catalog: GroupCatalog, isKept: boolean) {
    this.groups = groups
    this.#catalog = catalog
    this.isKept = isKept
  }

  /** The entries that say what changed in this group since they were last asked for; often none. */
  changesOf(group: Group): StateEntry[] {
    const changes = group.takeChanges()
    const isGone = !this.groups.has(group.id)
    if (!this.isKept || (changes === undefined && !isGone)) return []
    return [this.#entry(isGone ? { group: group.id, gone: true } : changes!)]
  }

  apply(payload: Uint8Array): void {
    if (!this.isKept) return
    if (payload[0] !== changeType) throw new RangeError(`Group entry of type ${payload[0]}.`)
    this.#applyJson(parse(payload) as GroupJson)
  }

  snapshot(): Uint8Array {
    const groups = this.isKept ? [...this.groups.values()].map((group) => group.toJson()) : []
    return format(snapshotVersion, groups)
  }

  restore(section: Uint8Array): void {
    if (!this.isKept) return
    if (section[0] !== snapshotVersion) throw new RangeError(`Groups of version ${section[0]}.`)
    for (const json of parse(section) as GroupJson[]) this.#applyJson(json)
  }

  #applyJson(json: GroupJson): void {
    if (json.gone === true) {
      this.groups.delete(json.group)
      return
    }
    let group = this.groups.get(json.group)
    if (group === undefined) {
      group = new Group(json.group, this.#catalog)
      this.groups.set(json.group, group)
    }
    group.applyJson(json)
  }

  #entry(json: GroupJson): StateEntry {
    return { kind: this.kind, payload: format(changeType, json) }
  }
}

function format(type: number, json: unknown): Uint8Array {
  return Buffer.concat([Buffer.from([type]), Buffer.from(JSON.stringify(json))])
}

function parse(bytes: Uint8Array): unknown {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset + 1, bytes.byteLength - 1)
  return JSON.parse(text.toString('utf8'))
}
