/**
 * The text messages a relay exchanges with a VM's or a user's socket before it pairs them. After `paired` each side sends
 * binary messages only, and the relay passes them on unread.
 *
 *   VM   → GET /v1/relay/vm                      (WebSocket)
 *   relay→ {"type":"challenge","challenge":b64}   32 random bytes
 *   VM   → {"type":"park","pass","signature"}     statement "relay-park" over challenge, vm id, SPKI pin of the relay
 *   relay→ {"type":"parked"}
 *   relay→ {"type":"paired"}                      a user is on the other end; the VM parks the next socket
 *
 *   user → GET /v1/relay/user, Authorization: Bearer TICKET in base64url
 *   relay→ {"type":"paired"}                      or a close with 4404 (no VM parked) or 4429 (too many)
 */
import * as z from 'zod';
import { base64Schema } from './names.ts';
import { PASS_BYTES } from './relay/ticket.ts';

export const relayToVmSchema = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('challenge'), challenge: base64Schema(32, 32) }),
  z.strictObject({ type: z.literal('parked') }),
  z.strictObject({ type: z.literal('paired') }),
]);
export const vmToRelaySchema = z.strictObject({
  type: z.literal('park'),
  pass: base64Schema(PASS_BYTES, PASS_BYTES),
  signature: base64Schema(64, 64),
});
export const relayToUserSchema = z.strictObject({ type: z.literal('paired') });

export const RELAY_VM_PATH = '/v1/relay/vm';
export const RELAY_USER_PATH = '/v1/relay/user';

/** Close codes of the relay (4000-4999 are for applications, RFC 6455 7.4.2). */
export const RELAY_CLOSE = { unauthenticated: 4401, noVmParked: 4404, limit: 4429 } as const;
/** The largest message the relay passes on: a full record of the channel with its header and tag, rounded up. */
export const RELAY_MAX_MESSAGE = 66 * 1024;

export const statementContexts = {
  relayPark: 'relay-park',
  claim: 'account-claim',
  signIn: 'sign-in',
  enrolVm: 'vm-enrol',
  enrolHost: 'host-enrol',
  hostLink: 'host-link',
  vmPass: 'vm-pass',
} as const;
