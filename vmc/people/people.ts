/** The people of this VM, live: asked at each call, changed one at a time, stored before anybody is told. */
import type { Right } from '../../shared/api/rights.ts';
import { equalBytes } from '../../shared/bytes.ts';
import { VmcError } from '../../shared/errors.ts';
import { fingerprint } from '../../shared/identity/fingerprint.ts';
import type { Identity } from '../../shared/identity/identity.ts';
import type { Ed25519PublicKey } from '../../shared/identity/keys.ts';
import { KeyedMutex } from '../../shared/keyed-mutex.ts';
import type { AuditLog } from '../audit/audit-log.ts';
import { type Change, decideChange } from './decide-change.ts';
import {
  type PeopleFileDeps,
  readPeople,
  readVersion,
  setAsidePeople,
  writePeople,
  writeVersion,
} from './people-file.ts';
import { memberOf, nobody, type PeopleState, rightsOfStanding, whoLost } from './people-state.ts';

export interface PeopleDeps {
  stateDir: string;
  identity: Identity;
  vmId: string;
  owner: Ed25519PublicKey;
  /** Unix time in milliseconds. */
  clock: () => number;
  audit: Pick<AuditLog, 'record'>;
  /** Told when the stored people cannot be trusted, and of what failed beside a change that holds. */
  onProblem: (problem: string, error: unknown) => void;
}

/** @param who fingerprint of somebody who may do less than before, or may not come in any more. */
export type ShrunkListener = (who: string) => void;

/** Long enough for the answer to somebody who took something from themselves; they have asked for it. */
const OWN_CUT_DELAY_MS = 200;

export class People {
  readonly #deps: PeopleDeps;
  readonly #file: PeopleFileDeps;
  readonly #mutex = new KeyedMutex();
  readonly #listeners = new Set<ShrunkListener>();
  #state: PeopleState;
  /** By key, in base64. */
  #rights = new Map<string, ReadonlySet<Right>>();
  #trouble: VmcError | undefined;

  private constructor(deps: PeopleDeps) {
    this.#deps = deps;
    this.#file = { ...deps, owner: fingerprint(deps.owner) };
    this.#state = nobody(this.#file.owner);
  }

  /** Never fails for what is stored: then there is `trouble`, and only the owner may come in. */
  static async open(deps: PeopleDeps): Promise<People> {
    const people = new People(deps);
    await people.#load();
    return people;
  }

  /** Why nobody but the owner may come in. */
  get trouble(): VmcError | undefined {
    return this.#trouble;
  }

  /** In base64. */
  get ownerKey(): string {
    return this.#deps.owner.toBase64();
  }

  get state(): PeopleState {
    return this.#state;
  }

  /** What a person may do now; undefined for somebody this VM does not know: then not even `member` holds. */
  rightsOf(person: Ed25519PublicKey): ReadonlySet<Right> | undefined {
    if (equalBytes(person, this.#deps.owner)) return memberOf(this.#state, this.#state.owner)?.rights;
    return this.#rights.get(person.toBase64());
  }

  /** The hook for everything that a person has open: channels, grants, terminals, transfers. @returns takes it off again. */
  onShrunk(listener: ShrunkListener): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /**
   * @param actor fingerprint of who asks. @param expected refuse unless this is the version.
   * @returns the version that holds now. @throws what `decideChange` throws; 'wrong-state' for another version than expected.
   */
  change(actor: string, change: Change, expected?: number): Promise<number> {
    return this.#mutex.run('people', async () => {
      if (this.#trouble !== undefined) throw this.#trouble;
      const before = this.#state;
      const after = decideChange(actor, before, change, this.#deps.clock());
      if (after === before) return before.version;
      if (expected !== undefined && expected !== before.version)
        throw new VmcError(
          'wrong-state',
          `The people of this VM were changed meanwhile: their version is ${before.version}, not ${expected}.`,
          'Look at them again, then repeat the change if it is still wanted.',
        );
      try {
        await this.#store(actor, before, after);
      } finally {
        // Not sooner: they get the answer first.
        if (lost(before, this.#state).has(actor)) setTimeout(() => this.#cut(actor), OWN_CUT_DELAY_MS).unref();
      }
      return after.version;
    });
  }

  /** Begins with nobody but the owner. @throws VmcError 'forbidden', 'wrong-state' when nothing is wrong with the people. */
  reset(actor: string): Promise<number> {
    return this.#mutex.run('people', async () => {
      if (actor !== this.#state.owner)
        throw new VmcError('forbidden', 'Only the owner can begin with nobody.', 'Ask the owner of the VM.');
      if (this.#trouble === undefined)
        throw new VmcError('wrong-state', 'The people of this VM are in order.', 'Remove people one by one.');
      const written = await readVersion(this.#file).catch(() => 0);
      await setAsidePeople(this.#file);
      await this.#store(actor, this.#state, nobody(this.#state.owner, written + 1));
      return this.#state.version;
    });
  }

  async #store(actor: string, before: PeopleState, after: PeopleState): Promise<void> {
    const cutOthers = () => {
      for (const who of lost(before, this.#state)) if (who !== actor) this.#cut(who);
    };
    let hash: string;
    try {
      hash = await writePeople(this.#file, after);
    } catch (error) {
      await this.#load(); // whichever of the two is on the disk now is what holds
      cutOthers();
      throw error;
    }
    this.#adopt(after);
    cutOthers(); // what follows may wait for a slow disk
    await writeVersion(this.#file, after.version).catch((error: unknown) =>
      this.#deps.onProblem('people.version could not be written', error),
    );
    const target = `version ${after.version} sha256 ${hash}`;
    await this.#deps.audit.record({ who: actor, what: 'people.stored', target, result: 'ok' });
  }

  #cut(who: string): void {
    for (const listener of this.#listeners)
      try {
        listener(who);
      } catch (error) {
        this.#deps.onProblem('what somebody had open was not cut', error);
      }
  }

  #adopt(state: PeopleState): void {
    this.#trouble = undefined;
    this.#state = state;
    this.#rights = new Map(
      state.people.map(({ ed25519, standing }) => [ed25519, rightsOfStanding(state, standing)] as const),
    );
  }

  async #load(): Promise<void> {
    try {
      this.#adopt(await readPeople(this.#file));
    } catch (error) {
      const trouble =
        error instanceof VmcError
          ? error
          : new VmcError('bad-data', 'The people of this VM cannot be read.', 'Look into the log of vmc.', {
              cause: error,
            });
      this.#adopt(nobody(this.#file.owner));
      this.#trouble = trouble;
      this.#deps.onProblem('only the owner may come in', error);
      await this.#deps.audit.record({
        who: 'vmc',
        what: 'people.refused',
        target: trouble.message,
        result: trouble.code,
      });
    }
  }
}

const lost = (before: PeopleState, after: PeopleState): Set<string> =>
  new Set(whoLost(before, after).map((person) => person.fingerprint));
