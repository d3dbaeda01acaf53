/** The routes by which people and VMs come to the relays. */
import { utf8 } from '../../shared/bytes.ts';
import { VmcError } from '../../shared/errors.ts';
import { ed25519PublicKey } from '../../shared/identity/keys.ts';
import { verifyStatement } from '../../shared/identity/statement.ts';
import { statementContexts } from '../../shared/relay-wire.ts';
import type { Challenges } from '../accounts/challenges.ts';
import type { RateLimit } from '../net/rate-limit.ts';
import type { Handlers } from '../rest/handler.ts';
import type { Store } from '../store/store.ts';
import type { TicketOffice } from './ticket-office.ts';

export interface TicketDeps {
  store: Pick<Store, 'vms'>;
  office: TicketOffice;
  challenges: Challenges;
  pin: string;
  /** Whether this person may have a channel to this VM. */
  mayReach(userId: string, vmId: string): boolean;
  /** By user id. */
  rate: RateLimit;
}

export function ticketHandlers(deps: TicketDeps): Pick<Handlers, 'relayTicket' | 'vmPass'> {
  const { store, office } = deps;
  return {
    async relayTicket({ params: { vmId } }, { account }) {
      if (!deps.rate.allow(account.userId))
        throw new VmcError('limit', 'This account opens too many connections to VMs.', 'Wait a minute.');
      // A VM that does not exist looks like one that is somebody else's.
      if (!deps.mayReach(account.userId, vmId))
        throw new VmcError(
          'forbidden',
          'The backend does not let this account reach that VM.',
          'Whose VMs you may reach is shown by: connect vm list',
        );
      return office.tickets(account.userId, vmId);
    },

    async vmPass({ params: { vmId }, body: { challenge, signature } }, request) {
      const vm = store.vms.get(vmId);
      const fresh = deps.challenges.use(challenge);
      const { ed25519 } = vm ?? { ed25519: null };
      const parts = [challenge, utf8(vmId), utf8(deps.pin)];
      if (
        !fresh ||
        vm === undefined ||
        ed25519 === null ||
        !verifyStatement(ed25519PublicKey(ed25519), statementContexts.vmPass, parts, signature)
      )
        throw new VmcError(
          'unauthenticated',
          'The backend does not know this VM with this key.',
          'It may have to enrol again.',
        );
      request.actor = vmId;
      return office.access({ vmId, ownerId: vm.ownerId, ed25519 });
    },
  };
}
