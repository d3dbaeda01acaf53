import fc from 'fast-check';
import t from 'tap';
import { concatBytes } from '../../../shared/bytes.ts';
import { initiatorRandom, responderRandom } from '../../../shared/channel/ephemeral.ts';
import { Initiator } from '../../../shared/channel/initiator.ts';
import { KEY_LIMITS } from '../../../shared/channel/limits.ts';
import { HandshakeFinished, HandshakeRefused } from '../../../shared/channel/refusal.ts';
import {
  encodeInitiatorHello,
  INITIATOR_HELLO_BYTES,
  parseInitiatorHello,
  parseResponderHello,
  RESPONDER_HELLO_BYTES,
} from '../../../shared/channel/wire.ts';
import { mlKemPublicKey, x25519PublicKey } from '../../../shared/identity/keys.ts';
import { native } from '../../../shared/identity/native.ts';
import {
  alice,
  exchange,
  flipped,
  handshake,
  IMPLEMENTATIONS,
  NOON,
  neverSeen,
  newInitiator,
  newResponder,
  PAIRINGS,
  vm,
} from './peers.ts';

for (const [name, pairing] of PAIRINGS)
  t.test(`C2: two sides come to the same keys, ${name}`, async (t) => {
    const { ours, theirs } = await handshake(pairing);
    for (const [from, to] of [
      [ours.sealer, theirs.opener],
      [theirs.sealer, ours.opener],
    ] as const)
      for await (const record of from.message(Uint8Array.of(1, 2, 3)))
        t.same(await to.open(record), { kind: 'message', message: Uint8Array.of(1, 2, 3) });
  });

t.test('hellos have the documented lengths and fields', async (t) => {
  const { hello, answer } = await exchange();
  t.equal(hello.length, 1394);
  t.equal(answer.hello.length, 1298);
  t.equal(INITIATOR_HELLO_BYTES, 1394);
  t.equal(RESPONDER_HELLO_BYTES, 1298);
  t.match(parseInitiatorHello(hello), { purpose: 'control', time: NOON });
  t.match(parseResponderHello(answer.hello), { purpose: 'control', time: NOON });
  t.same(parseResponderHello(answer.hello).initiator, alice.public.ed25519);
});

t.test('every encoded hello parses to what it was made of', async (t) => {
  const bytes = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });
  fc.assert(
    fc.property(
      fc.constantFrom('control', 'terminal', 'files'),
      bytes(32),
      bytes(1184),
      fc.maxSafeNat(),
      bytes(32),
      bytes(64),
      (purpose, x, kem, time, nonce, signature) => {
        const fields = {
          purpose,
          initiator: alice.public.ed25519,
          responder: vm.public.ed25519,
          x25519: x25519PublicKey(x),
          mlkem768: mlKemPublicKey(kem),
          time,
          nonce,
        };
        const signed = encodeInitiatorHello(fields);
        t.same(parseInitiatorHello(concatBytes(signed, signature)), { ...fields, signed, signature });
      },
    ),
    { numRuns: 50 },
  );
});

t.test('steps are single-use and in order, also after a failure', async (t) => {
  const over = (step: Promise<unknown>, why = 'it is over') => t.rejects(step, HandshakeFinished, why);
  const initiator = newInitiator();
  await over(initiator.readHello(new Uint8Array(0), NOON));
  await over(initiator.split());
  const { responder, answer } = await exchange(initiator);
  await over(initiator.writeHello(NOON));
  await over(initiator.writeConfirmation());
  await over(responder.split(), 'no keys before confirmation');
  await over(responder.answer(responderRandom(native), NOON));
  await t.rejects(initiator.readHello(flipped(answer.hello, 100), NOON), HandshakeRefused);
  await over(initiator.readHello(answer.hello, NOON), 'one try only');
  const failed = newResponder();
  await t.rejects(failed.readHello(new Uint8Array(0), neverSeen), HandshakeRefused);
  await over(failed.answer(responderRandom(native), NOON));
  const whole = await exchange();
  await whole.initiator.readHello(whole.answer.hello, NOON);
  await whole.initiator.readConfirmation(whole.answer.confirmation);
  await whole.initiator.writeConfirmation();
  await whole.initiator.split();
  await over(whole.initiator.split());
});

for (const [name, cryptography] of IMPLEMENTATIONS) {
  t.test(`a step that is still under way cannot be entered again, ${name}`, async (t) => {
    const { initiator, responder, answer } = await exchange(newInitiator({ cryptography }));
    const first = initiator.readHello(answer.hello, NOON);
    await t.rejects(initiator.readHello(answer.hello, NOON), HandshakeFinished);
    await t.rejects(initiator.readConfirmation(answer.confirmation), HandshakeFinished, 'nor the next one');
    await first;
    const confirming = initiator.readConfirmation(answer.confirmation);
    await t.rejects(initiator.readConfirmation(answer.confirmation), HandshakeFinished);
    await confirming;
    await responder.readConfirmation(await initiator.writeConfirmation());
  });

  t.test(`a handshake wipes what it was given, whether it comes about or not, ${name}`, async (t) => {
    const random = initiatorRandom(cryptography);
    const input = { cryptography, identity: alice, peer: vm.public.ed25519, limits: KEY_LIMITS };
    const initiator = new Initiator({ ...input, random, purpose: 'control' });
    const responder = newResponder(vm, cryptography);
    await responder.readHello(await initiator.writeHello(NOON), neverSeen);
    const secrets = responderRandom(cryptography);
    const answer = await responder.answer(secrets, NOON);
    t.same(secrets.x25519, new Uint8Array(32));
    t.notSame(random.x25519, new Uint8Array(32), 'still needed');
    await initiator.readHello(answer.hello, NOON);
    t.same([random.x25519, random.mlkem768], [new Uint8Array(32), new Uint8Array(64)]);
    const other = initiatorRandom(cryptography);
    const abandoned = new Initiator({ ...input, random: other, purpose: 'control' });
    await abandoned.writeHello(NOON);
    abandoned.end();
    t.same([other.x25519, other.mlkem768], [new Uint8Array(32), new Uint8Array(64)]);
    await t.rejects(abandoned.readHello(answer.hello, NOON));
  });
}
