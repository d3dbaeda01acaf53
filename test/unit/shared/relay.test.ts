import fc from 'fast-check';
import t from 'tap';
import { Gate } from '../../../backend/relay/gate.ts';
import { statementBytes } from '../../../shared/identity/framing.ts';
import { generateIdentity } from '../../../shared/identity/identity.ts';
import { sign } from '../../../shared/identity/native.ts';
import { orderRelays } from '../../../shared/relay/order.ts';
import {
  makePass,
  makeQuestion,
  makeTicket,
  PASS_BYTES,
  readPass,
  readQuestion,
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

t.test(
  'B1: what the backend should not have signed is an error that says so, and a relay admits nobody by it',
  async (t) => {
    const resign = (context: string, bytes: Uint8Array, at: number) => {
      const body = bytes.slice(0, -64).fill(0xff, at, at + 1);
      return new Uint8Array([...body, ...sign(statementBytes(context, [body]), seed)]);
    };
    const pin = ticket.relayPin;
    const gate = new Gate({ ticketKey: key, pin, now: () => 0 });
    const bearer = (bytes: Uint8Array) => `Bearer ${Buffer.from(bytes).toString('base64url')}`;
    for (const at of [5, 22, 37]) {
      const one = resign('relay-ticket', makeTicket(seed, ticket), at);
      t.throws(() => readTicket(key, one), { name: 'VmcError', code: 'bad-data' });
      t.equal(gate.admitUser(bearer(one)), 'bad-ticket');
      const other = resign('relay-pass', makePass(seed, pass), at);
      t.throws(() => readPass(key, other), { name: 'VmcError', code: 'bad-data' });
      t.equal(gate.admitVm(other, new Uint8Array(32), new Uint8Array(64)), undefined);
    }
    const question = resign('relay-question', makeQuestion(seed, { expiresAt: 1, relayPin: pin }), 5);
    t.throws(() => readQuestion(key, question), { name: 'VmcError', code: 'bad-data' });
    t.notOk(gate.isBackend(bearer(question)));
    t.ok(gate.isBackend(bearer(makeQuestion(seed, { expiresAt: 1, relayPin: pin }))));
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
