import fc from 'fast-check';
import t from 'tap';
import { generateIdentity } from '../../../shared/identity/identity.ts';
import { orderRelays } from '../../../shared/relay/order.ts';
import {
  makePass,
  makeTicket,
  PASS_BYTES,
  readPass,
  readTicket,
  TICKET_BYTES,
  type Ticket,
} from '../../../shared/relay/ticket.ts';

const office = generateIdentity();
const key = office.public.ed25519;
const seed = office.secret.ed25519;
const ticket: Ticket = {
  userId: 'user-0123456789ab',
  vmId: 'vm-0123456789ab',
  expiresAt: 1_800_000_000_123,
  nonce: new Uint8Array(16).fill(9),
  relayPin: 'ab'.repeat(32),
};
const pass = { ownerId: ticket.userId, vmId: ticket.vmId, expiresAt: 1_800_000_000_123, vmKey: key };

t.test(
  'B1: tickets and passes say what was put in, and nothing that was changed, cut or extended passes',
  async (t) => {
    const one = makeTicket(seed, ticket);
    const other = makePass(seed, pass);
    t.equal(one.length, TICKET_BYTES);
    t.equal(other.length, PASS_BYTES);
    t.strictSame(readTicket(key, one), ticket);
    t.strictSame(readPass(key, other), pass);
    for (const [bytes, read] of [
      [one, readTicket],
      [other, readPass],
    ] as const) {
      for (let at = 0; at < bytes.length; at++) {
        const changed = bytes.slice();
        changed[at] = (changed[at] ?? 0) ^ 0x20;
        t.equal(read(key, changed), undefined, `byte ${at}`);
      }
      for (const length of [0, 5, 64, bytes.length - 1]) t.equal(read(key, bytes.subarray(0, length)), undefined);
      t.equal(read(key, new Uint8Array([...bytes, 0])), undefined);
      t.equal(read(generateIdentity().public.ed25519, bytes), undefined, 'another key');
    }
    t.equal(readTicket(key, other), undefined, 'a pass is no ticket');
    t.equal(readPass(key, one), undefined, 'a ticket is no pass');
  },
);

t.test('B1: whatever a stranger sends as a ticket or pass is refused without an error', async (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 400 }), fc.boolean(), (noise, shaped) => {
      const bytes = new Uint8Array(noise);
      if (shaped) bytes.set(new TextEncoder().encode('VMCT\x01').subarray(0, bytes.length));
      return readTicket(key, bytes) === undefined && readPass(key, bytes) === undefined;
    }),
  );
  t.pass();
});

t.test('B1: both sides come to the same order; VMs spread; a relay that goes moves only its own', async (t) => {
  const relays = ['a', 'b', 'c', 'd'].map((name) => ({ name, pin: name.repeat(64) }));
  const vms = Array.from({ length: 400 }, (_, i) => `vm-${i.toString(16).padStart(12, '0')}`);
  const first = (vmId: string, of = relays) => orderRelays(vmId, of)[0]?.name;
  const counts = new Map<string | undefined, number>();
  for (const vm of vms) {
    t.strictSame(orderRelays(vm, relays), orderRelays(vm, relays.toReversed()));
    counts.set(first(vm), (counts.get(first(vm)) ?? 0) + 1);
  }
  for (const { name } of relays) t.ok((counts.get(name) ?? 0) > 60, `${name} has its share`);
  const without = relays.filter(({ name }) => name !== 'b');
  for (const vm of vms) if (first(vm) !== 'b') t.equal(first(vm, without), first(vm));
});
