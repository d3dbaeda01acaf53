import t from 'tap';
import { Gate, SKEW_MS } from '../../../backend/relay/gate.ts';
import { SpentTickets } from '../../../backend/relay/spent-tickets.ts';
import { generateIdentity } from '../../../shared/identity/identity.ts';
import { makeTicket } from '../../../shared/relay/ticket.ts';

const office = generateIdentity();
const pin = 'ab'.repeat(32);
let now = 1_800_000_000_000;
const gate = new Gate({ ticketKey: office.public.ed25519, pin, now: () => now });
let count = 0;

function bearer(more: { relayPin?: string; expiresAt?: number; by?: Uint8Array } = {}): string {
  const ticket = makeTicket(more.by ?? office.secret.ed25519, {
    userId: 'user-0123456789ab',
    vmId: 'vm-0123456789ab',
    expiresAt: more.expiresAt ?? now + 60_000,
    nonce: new Uint8Array(new Uint32Array([++count, 0, 0, 0]).buffer),
    relayPin: more.relayPin ?? pin,
  });
  return `Bearer ${Buffer.from(ticket).toString('base64url')}`;
}

t.test('B1: a ticket admits once, at the relay that it names, while it is fresh', async (t) => {
  const good = bearer();
  t.match(gate.admitUser(good), { userId: 'user-0123456789ab', vmId: 'vm-0123456789ab' });
  t.equal(gate.admitUser(good), 'used');
  t.equal(gate.admitUser(undefined), 'no-ticket');
  t.equal(gate.admitUser('Bearer '), 'no-ticket');
  t.equal(gate.admitUser(`Bearer ${'A'.repeat(4000)}`), 'no-ticket');
  t.equal(gate.admitUser('Bearer AAAA'), 'bad-ticket');
  t.equal(gate.admitUser(bearer({ by: generateIdentity().secret.ed25519 })), 'bad-ticket');
  t.equal(gate.admitUser(bearer({ relayPin: 'cd'.repeat(32) })), 'wrong-relay');
  t.equal(gate.admitUser(bearer({ expiresAt: now - SKEW_MS })), 'expired');
  t.equal(gate.admitUser(bearer({ expiresAt: now + 10 * 60_000 })), 'expired', 'nor one from the future');
  t.type(gate.admitUser(bearer({ expiresAt: now - SKEW_MS + 1 })), 'object', 'clocks may differ a little');
  const kept = bearer();
  t.type(gate.admitUser(kept), 'object');
  now += 60_000 + SKEW_MS - 1;
  t.equal(gate.admitUser(kept), 'used', 'to the last moment');
  now += 1;
  t.equal(gate.admitUser(kept), 'expired');
});

t.test('B1: spent tickets are bounded for each person and in all; full refuses', async (t) => {
  const spent = new SpentTickets();
  const nonce = (n: number) => new Uint8Array(new Uint32Array([n]).buffer);
  for (let i = 0; i < 4096; i++) t.equal(spent.spend('a', nonce(i), 0, 100), 'new');
  t.equal(spent.spend('a', nonce(9999), 0, 100), 'full');
  t.equal(spent.spend('b', nonce(9999), 0, 100), 'new', 'others have room');
  t.equal(spent.spend('a', nonce(1), 100, 200), 'new', 'what has ended is forgotten');
  t.equal(spent.size, 1);
});
