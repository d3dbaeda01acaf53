/** The relay's paths: a VM comes with a pass, a person with a ticket. */
import type { IncomingMessage } from 'node:http';
import { RELAY_USER_PATH, RELAY_VM_PATH } from '../../shared/relay-wire.ts';
import type { Accept, Entrance } from '../net/upgrades.ts';
import type { Gate, TicketRefusal } from './gate.ts';
import type { Relay } from './relay.ts';

export function relayEntrances(
  relay: Relay,
  gate: Gate,
  refused?: (reason: TicketRefusal) => void,
): Record<string, Entrance> {
  return {
    [RELAY_VM_PATH]: () => (socket, known) => relay.acceptVm(socket, known),
    [RELAY_USER_PATH]: (request: IncomingMessage): Accept | number => {
      const ticket = gate.admitUser(request.headers.authorization);
      if (typeof ticket === 'string') {
        refused?.(ticket);
        return ticket === 'full' ? 429 : 401;
      }
      return (socket, known) => {
        known();
        relay.acceptUser(socket, ticket.userId, ticket.vmId);
      };
    },
  };
}
