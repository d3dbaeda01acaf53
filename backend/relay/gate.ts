/** Who may come in, by what the backend has signed: a relay asks nobody and keeps no sessions. */
import { utf8 } from '../../shared/bytes.ts';
import { VmcError } from '../../shared/errors.ts';
import type { Ed25519PublicKey } from '../../shared/identity/keys.ts';
import { verifyStatement } from '../../shared/identity/statement.ts';
import { type Pass, readPass, readQuestion, readTicket, type Ticket } from '../../shared/relay/ticket.ts';
import { statementContexts } from '../../shared/relay-wire.ts';
import { SpentTickets } from './spent-tickets.ts';

/** What the clocks of backend and relay may differ by. */
export const SKEW_MS = 60_000;
/** A ticket that ends later than this was not made by a backend with a clock like ours; it would have to be remembered too long. */
const MAX_TICKET_MS = 60_000;

export interface GateDeps {
  /** Public half of the backend's ticket key. */
  ticketKey: Ed25519PublicKey;
  /** SPKI pin of this relay. */
  pin: string;
  /** Milliseconds since 1970. */
  now: () => number;
}

export type TicketRefusal = 'no-ticket' | 'bad-ticket' | 'wrong-relay' | 'expired' | 'used' | 'full';

export class Gate {
  readonly #deps: GateDeps;
  readonly #spent = new SpentTickets();

  constructor(deps: GateDeps) {
    this.#deps = deps;
  }

  /** @param authorization header field of the request. Spends the ticket. */
  admitUser(authorization: string | undefined): Ticket | TicketRefusal {
    const token = bearer(authorization);
    if (token === undefined) return 'no-ticket';
    const ticket = wellFormed(() => readTicket(this.#deps.ticketKey, token));
    if (ticket === undefined) return 'bad-ticket';
    if (ticket.relayPin !== this.#deps.pin) return 'wrong-relay';
    const now = this.#deps.now();
    const end = ticket.expiresAt + SKEW_MS;
    if (now >= end || end > now + MAX_TICKET_MS + 2 * SKEW_MS) return 'expired';
    const spent = this.#spent.spend(ticket.userId, ticket.nonce, now, end);
    return spent === 'new' ? ticket : spent;
  }

  /** The pass says which key the VM has, the signature shows that it is the VM. */
  admitVm(pass: Uint8Array, challenge: Uint8Array, signature: Uint8Array): Pass | undefined {
    const read = wellFormed(() => readPass(this.#deps.ticketKey, pass));
    if (read === undefined || this.#deps.now() >= read.expiresAt + SKEW_MS) return undefined;
    const parts = [challenge, utf8(read.vmId), utf8(this.#deps.pin)];
    return verifyStatement(read.vmKey, statementContexts.relayPark, parts, signature) ? read : undefined;
  }

  /** Whether it is the backend that asks. */
  isBackend(authorization: string | undefined): boolean {
    const token = bearer(authorization);
    const question = token && wellFormed(() => readQuestion(this.#deps.ticketKey, token));
    return question?.relayPin === this.#deps.pin && this.#deps.now() < question.expiresAt + SKEW_MS;
  }
}

/** To a relay, what the backend should not have signed is as good as unsigned. */
function wellFormed<T>(read: () => T | undefined): T | undefined {
  try {
    return read();
  } catch (error) {
    if (error instanceof VmcError) return undefined;
    throw error;
  }
}

function bearer(authorization: string | undefined): Uint8Array | undefined {
  const token = /^Bearer ([A-Za-z0-9_-]{1,400})$/.exec(authorization ?? '')?.[1];
  return token === undefined ? undefined : new Uint8Array(Buffer.from(token, 'base64url'));
}
