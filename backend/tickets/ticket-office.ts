/** Makes tickets and passes: what a relay needs to know about people and VMs, in a form that it can check by itself. */
import { randomBytes } from 'node:crypto';
import type * as z from 'zod';
import { ed25519PublicKey } from '../../shared/identity/keys.ts';
import { toBase64 } from '../../shared/names.ts';
import { makePass, makeTicket } from '../../shared/relay/ticket.ts';
import type { routes } from '../../shared/rest-api/index.ts';
import type { RelayAddress, relayAccessSchema } from '../../shared/rest-api/vm-enrol.ts';

/** A relay admits a person for so long after they asked for it. */
export const TICKET_MS = 60_000;
/** VMs renew theirs every day: so long they can park while rest is down. */
export const PASS_MS = 30 * 24 * 3_600_000;

export interface TicketOfficeDeps {
  seed: Uint8Array;
  relays(): readonly RelayAddress[];
  now: () => number;
}

export class TicketOffice {
  readonly #deps: TicketOfficeDeps;

  constructor(deps: TicketOfficeDeps) {
    this.#deps = deps;
  }

  /** The caller has checked that this user may reach this VM. */
  tickets(userId: string, vmId: string): z.input<typeof routes.relayTicket.result> {
    const expiresAt = this.#deps.now() + TICKET_MS;
    const relays = this.#deps.relays().map(({ url, pin }) => {
      const nonce = new Uint8Array(randomBytes(16));
      const ticket = makeTicket(this.#deps.seed, { userId, vmId, expiresAt, nonce, relayPin: pin });
      return { url, pin, ticket: toBase64(ticket) };
    });
    return { relays, expiresAt };
  }

  /** With what and where the VM parks. The caller has checked that it is the VM. */
  access(vm: { vmId: string; ownerId: string; ed25519: Uint8Array }): z.input<typeof relayAccessSchema> {
    const { vmId, ownerId } = vm;
    const expiresAt = this.#deps.now() + PASS_MS;
    const pass = makePass(this.#deps.seed, { ownerId, vmId, expiresAt, vmKey: ed25519PublicKey(vm.ed25519) });
    return { pass: toBase64(pass), relays: [...this.#deps.relays()] };
  }
}
