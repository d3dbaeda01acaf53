/** One attempt to get a socket parked: let the backend through the firewall, enrol if that is still to be done, park. */
import type { VmClient } from '../../shared/backend-client/vm-client.ts';
import { VmcError } from '../../shared/errors.ts';
import type { Identity } from '../../shared/identity/identity.ts';
import type { Log } from '../../shared/log.ts';
import type { Firewall } from '../firewall/firewall.ts';
import { markEnrolled } from '../state/enrolled.ts';
import type { ParkedSocket } from './relay-client.ts';

export interface ParkDeps {
  client: VmClient;
  firewall: Pick<Firewall, 'admitBackend'>;
  identity: Identity;
  vmId: string;
  enrolToken: Uint8Array;
  enrolled: boolean;
  stateDir: string;
  log: Log;
}

export function makePark(deps: ParkDeps): (signal: AbortSignal) => Promise<ParkedSocket> {
  const { client, identity, vmId } = deps;
  let { enrolled } = deps;
  return async (signal) => {
    await deps.firewall.admitBackend();
    if (!enrolled) {
      await client.enrolVm(identity, vmId, deps.enrolToken);
      enrolled = true;
      await markEnrolled(deps.stateDir, vmId, client.address.pin);
      deps.log.info('enrolled', { vmId });
    }
    try {
      return await client.parkAtRelay(identity, vmId, signal);
    } catch (error) {
      // A backend that was restored from an older copy may have forgotten us: enrolling again with the same keys is fine.
      if (error instanceof VmcError && error.code === 'unauthenticated') enrolled = false;
      throw error;
    }
  };
}
