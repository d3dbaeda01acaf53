/** Has a pass for the relays: the stored one, or one from enrolling; and renews it before it ends. */
import type { VmClient } from '../../shared/backend-client/vm-client.ts';
import { VmcError } from '../../shared/errors.ts';
import type { Identity } from '../../shared/identity/identity.ts';
import type { Log } from '../../shared/log.ts';
import type { RelayAccess } from '../../shared/rest-api/vm-enrol.ts';
import { type StoredAccess, writeRelayAccess } from '../state/relay-access.ts';

/** A pass is good for 30 days; that it is renewed each day leaves a month in which rest may be down. */
const RENEW_AFTER_MS = 24 * 3_600_000;
/** The backend is not asked more often than this for another pass. */
const ASK_AGAIN_MS = 60_000;

/** URLs of the relays that are not the backend itself. */
export const otherRelays = (access: RelayAccess | undefined, backendPin: string): string[] =>
  (access?.relays ?? []).filter(({ pin }) => pin !== backendPin).map(({ url }) => url);

export interface RelayAccessDeps {
  client: Pick<VmClient, 'enrolVm' | 'renewPass' | 'address'>;
  identity: Identity;
  vmId: string;
  enrolToken: Uint8Array;
  stateDir: string;
  stored: StoredAccess | undefined;
  /** Lets the VM go where the relays are. */
  setRelays: (urls: readonly string[]) => void;
  clock: () => number;
  log: Log;
}

export class RelayAccessKeeper {
  readonly #deps: RelayAccessDeps;
  #access: StoredAccess | undefined;
  #askedAt = Number.NEGATIVE_INFINITY;

  constructor(deps: RelayAccessDeps) {
    this.#deps = deps;
    this.#access = deps.stored;
  }

  /** Enrols when that is still to be done. @param reachBackend lets the VM go to the backend. */
  async get(reachBackend: () => Promise<void>): Promise<RelayAccess> {
    if (this.#access !== undefined) return this.#access;
    const { client, identity, vmId, enrolToken, log } = this.#deps;
    await reachBackend();
    const access = await this.#keep(await client.enrolVm(identity, vmId, enrolToken));
    log.info('enrolled', { vmId });
    return access;
  }

  /** Renews a pass that was given a day ago. A clock that was set back counts as that too. */
  async renewIfDue(reachBackend: () => Promise<void>): Promise<void> {
    if (this.#access === undefined) return;
    const age = this.#deps.clock() - this.#access.givenAt;
    if (age >= RENEW_AFTER_MS || age < 0) await this.renew(reachBackend);
  }

  /**
   * Asks for a new pass, and with it for the relays that there are now, unless that was done a moment ago. When the backend
   * does not know this VM any more (it was restored from an older copy), the next `get` enrols again.
   */
  async renew(reachBackend: () => Promise<void>): Promise<void> {
    const { client, identity, vmId, clock, log } = this.#deps;
    if (Math.abs(clock() - this.#askedAt) < ASK_AGAIN_MS) return;
    this.#askedAt = clock();
    try {
      await reachBackend();
      await this.#keep(await client.renewPass(identity, vmId));
    } catch (error) {
      if (error instanceof VmcError && error.code === 'unauthenticated') this.#access = undefined;
      log.warn('pass-not-renewed', { problem: error instanceof Error ? error.message : 'unknown' });
    }
  }

  async #keep(access: RelayAccess): Promise<RelayAccess> {
    const { stateDir, vmId, client, setRelays, clock } = this.#deps;
    this.#access = { ...access, givenAt: clock() };
    setRelays(otherRelays(access, client.address.pin));
    await writeRelayAccess(stateDir, vmId, client.address.pin, this.#access);
    return this.#access;
  }
}
