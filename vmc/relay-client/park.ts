/** One attempt to get a socket parked: a pass for the relays first, then the relays in their order until one takes it. */
import type { VmClient } from '../../shared/backend-client/vm-client.ts';
import { VmcError } from '../../shared/errors.ts';
import type { Identity } from '../../shared/identity/identity.ts';
import { orderRelays } from '../../shared/relay/order.ts';
import type { RelayAccess, RelayAddress } from '../../shared/rest-api/vm-enrol.ts';
import type { Firewall } from '../firewall/firewall.ts';
import { followBetter } from './follow-better.ts';
import type { RelayAccessKeeper } from './relay-access.ts';
import type { ParkedSocket } from './relay-client.ts';

export interface ParkDeps {
  client: VmClient;
  firewall: Pick<Firewall, 'admit'>;
  access: RelayAccessKeeper;
  identity: Identity;
  vmId: string;
  random: () => number;
}

export function makePark(deps: ParkDeps): (signal: AbortSignal) => Promise<ParkedSocket> {
  const { access } = deps;
  const reachBackend = reachBackendOf(deps);
  return async (signal) => {
    try {
      return await parkAtFirst(deps, await access.get(reachBackend), signal);
    } catch (error) {
      // The pass may be bad (another ticket key), or all relays may have moved.
      if (!signal.aborted && isRelaysFault(error)) await access.renew(reachBackend);
      throw error;
    }
  };
}

/** Lets the VM go to its backend. */
export const reachBackendOf =
  ({ firewall, client }: Pick<ParkDeps, 'firewall' | 'client'>) =>
  (): Promise<void> =>
    firewall.admit(client.address.url);

async function parkAtFirst(deps: ParkDeps, { relays, pass }: RelayAccess, signal: AbortSignal): Promise<ParkedSocket> {
  const order = orderRelays(deps.vmId, relays);
  const parkAt = async (relay: RelayAddress, until: AbortSignal) => {
    // The relay with the backend's own pin is the backend, at the address by which the VM knows it.
    await deps.firewall.admit(relay.pin === deps.client.address.pin ? deps.client.address.url : relay.url);
    return deps.client.parkAtRelay(relay, deps.identity, deps.vmId, pass, until);
  };
  const failures: unknown[] = [];
  for (const [at, relay] of order.entries()) {
    try {
      const parked = await parkAt(relay, signal);
      const better = order.slice(0, at).map((it) => (until: AbortSignal) => parkAt(it, until));
      return better.length === 0 ? parked : followBetter(parked, better, { random: deps.random });
    } catch (error) {
      if (signal.aborted) throw error;
      failures.push(error);
    }
  }
  throw failures.find((it) => it instanceof VmcError && it.code === 'unauthenticated') ?? failures[0];
}

const isRelaysFault = (error: unknown): boolean =>
  error instanceof VmcError && ['unauthenticated', 'unreachable', 'timeout', 'identity-changed'].includes(error.code);
