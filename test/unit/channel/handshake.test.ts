import fc from 'fast-check';
import t from 'tap';
import { concatBytes } from '../../../shared/bytes.ts';
import { responderRandom } from '../../../shared/channel/ephemeral.ts';
import { FRESHNESS_MS } from '../../../shared/channel/limits.ts';
import { HandshakeFinished } from '../../../shared/channel/refusal.ts';
import {
  encodeInitiatorHello,
  INITIATOR_HELLO_BYTES,
  parseInitiatorHello,
  parseResponderHello,
  RESPONDER_HELLO_BYTES,
} from '../../../shared/channel/wire.ts';
import { mlKemPublicKey, x25519PublicKey } from '../../../shared/identity/keys.ts';
import { signStatement, signStatementNatively } from '../../../shared/identity/statement.ts';
import {
  alice,
  exchange,
  flipped,
  handshake,
  mallory,
  NOON,
  neverSeen,
  newInitiator,
  newResponder,
  reasonOf,
  vm,
} from './peers.ts';

t.test('C2: two sides come to the same keys', async (t) => {
  const { ours, theirs } = handshake();
  for (const [from, to] of [
    [ours.sealer, theirs.opener],
    [theirs.sealer, ours.opener],
  ] as const) {
    const [record = new Uint8Array(0)] = from.message(Uint8Array.of(1, 2, 3));
    t.same(to.open(record), { kind: 'message', message: Uint8Array.of(1, 2, 3) });
  }
});

t.test('hellos have the documented lengths and fields', async (t) => {
  const { hello, answer } = exchange();
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

t.test('noise is no hello', async (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 3000 }), (noise) => {
      t.equal(
        reasonOf(() => newResponder().readHello(noise, neverSeen)),
        'malformed',
      );
    }),
  );
});

/** Which refusal a changed byte of a hello leads to: [first byte, reason], the last that fits counts. */
const initiatorRegions: [number, string][] = [
  [0, 'malformed'],
  [5, 'unsupported'],
  [10, 'bad-signature'],
  [42, 'wrong-recipient'],
  [74, 'bad-signature'],
  [1290, 'stale'],
  [1295, 'bad-signature'], // less than five minutes: the time passes, the signature does not
];
const responderRegions: [number, string][] = [
  [0, 'malformed'],
  [5, 'unsupported'],
  [10, 'wrong-recipient'],
  [42, 'wrong-peer'],
  [74, 'bad-signature'],
  [1194, 'stale'],
  [1199, 'bad-signature'],
];
const expected = (regions: [number, string][], at: number): string =>
  regions.filter(([first]) => first <= at).at(-1)?.[1] ?? '';

t.test('C2: each changed byte of an initiator’s hello is refused, with the reason', async (t) => {
  const hello = newInitiator().writeHello(NOON);
  const wrong: string[] = [];
  for (let at = 0; at < hello.length; at++) {
    const reason = reasonOf(() => newResponder().readHello(flipped(hello, at), neverSeen));
    if (reason !== expected(initiatorRegions, at)) wrong.push(`byte ${at}: ${reason}`);
  }
  t.same(wrong, []);
});

t.test('C2: each changed byte of a responder’s hello is refused, with the reason', async (t) => {
  const wrong: string[] = [];
  for (let at = 0; at < RESPONDER_HELLO_BYTES; at++) {
    const { initiator, answer } = exchange(); // its steps are single-use
    const reason = reasonOf(() => initiator.readHello(flipped(answer.hello, at), NOON));
    if (reason !== expected(responderRegions, at)) wrong.push(`byte ${at}: ${reason}`);
  }
  t.same(wrong, []);
});

t.test('C2: each changed byte of a confirmation is refused, on both sides', async (t) => {
  const wrong: string[] = [];
  for (let at = 0; at < 50; at++) {
    const one = exchange();
    one.initiator.readHello(one.answer.hello, NOON);
    const ours = reasonOf(() => one.initiator.readConfirmation(flipped(one.answer.confirmation, at)));
    const other = exchange();
    other.initiator.readHello(other.answer.hello, NOON);
    other.initiator.readConfirmation(other.answer.confirmation);
    const confirmation = other.initiator.writeConfirmation();
    t.equal(confirmation.length, 50);
    const theirs = reasonOf(() => other.responder.readConfirmation(flipped(confirmation, at)));
    if (ours !== 'not-confirmed' || theirs !== 'not-confirmed') wrong.push(`byte ${at}: ${ours}, ${theirs}`);
  }
  t.same(wrong, []);
});

t.test('shorter and longer hellos are malformed', async (t) => {
  const { hello, answer } = exchange();
  for (const bytes of [
    hello.subarray(0, -1),
    hello.subarray(1),
    concatBytes(hello, Uint8Array.of(0)),
    new Uint8Array(0),
  ])
    t.equal(
      reasonOf(() => newResponder().readHello(bytes, neverSeen)),
      'malformed',
    );
  for (const bytes of [answer.hello.subarray(0, -1), concatBytes(answer.hello, Uint8Array.of(0))]) {
    const initiator = newInitiator();
    initiator.writeHello(NOON);
    t.equal(
      reasonOf(() => initiator.readHello(bytes, NOON)),
      'malformed',
    );
  }
});

t.test('a hello is fresh for five minutes either way, to the millisecond', async (t) => {
  const hello = newInitiator().writeHello(NOON);
  const at = (now: number) => reasonOf(() => newResponder().readHello(hello, { now, isReplay: () => false }));
  t.equal(at(NOON + FRESHNESS_MS), 'accepted');
  t.equal(at(NOON - FRESHNESS_MS), 'accepted');
  t.equal(at(NOON + FRESHNESS_MS + 1), 'stale');
  t.equal(at(NOON - FRESHNESS_MS - 1), 'stale');
  const { initiator, answer } = exchange();
  t.equal(
    reasonOf(() => initiator.readHello(answer.hello, NOON + FRESHNESS_MS + 1)),
    'stale',
  );
});

t.test(
  'a hello for another identity, from our own, or replayed is refused before its signature is looked at',
  async (t) => {
    const unsigned = (hello: Uint8Array) => flipped(hello, hello.length - 1);
    const toMallory = unsigned(newInitiator({ peer: mallory }).writeHello(NOON));
    t.equal(
      reasonOf(() => newResponder().readHello(toMallory, neverSeen)),
      'wrong-recipient',
    );
    const fromUs = unsigned(newInitiator({ identity: vm }).writeHello(NOON));
    t.equal(
      reasonOf(() => newResponder().readHello(fromUs, neverSeen)),
      'reflected',
    );
    const again = unsigned(newInitiator().writeHello(NOON));
    t.equal(
      reasonOf(() => newResponder().readHello(again, { now: NOON, isReplay: () => true })),
      'replayed',
    );
  },
);

t.test('a hello that comes back to its sender is refused', async (t) => {
  const initiator = newInitiator();
  const hello = initiator.writeHello(NOON);
  t.equal(
    reasonOf(() => initiator.readHello(hello, NOON)),
    'malformed',
  );
});

t.test('C2: a hello in another’s name is refused', async (t) => {
  const forger = newInitiator({ identity: { public: alice.public, secret: mallory.secret } });
  t.equal(
    reasonOf(() => newResponder().readHello(forger.writeHello(NOON), neverSeen)),
    'bad-signature',
  );
  const { initiator, answer } = exchange(newInitiator(), newResponder({ public: vm.public, secret: mallory.secret }));
  t.equal(
    reasonOf(() => initiator.readHello(answer.hello, NOON)),
    'bad-signature',
  );
});

t.test('another VM’s true answer is the wrong peer, and says so loudly', async (t) => {
  const initiator = newInitiator();
  initiator.writeHello(NOON);
  const elsewhere = exchange(newInitiator({ peer: mallory }), newResponder(mallory));
  t.throws(() => initiator.readHello(elsewhere.answer.hello, NOON), { code: 'identity-changed', reason: 'wrong-peer' });
});

t.test('answers and confirmations of two sessions do not mix', async (t) => {
  const [a, b] = [exchange(), exchange()];
  t.equal(
    reasonOf(() => a.initiator.readHello(b.answer.hello, NOON)),
    'bad-signature',
  );
  const [c, d] = [exchange(), exchange()];
  for (const session of [c, d]) session.initiator.readHello(session.answer.hello, NOON);
  t.equal(
    reasonOf(() => c.initiator.readConfirmation(d.answer.confirmation)),
    'not-confirmed',
  );
  d.initiator.readConfirmation(d.answer.confirmation);
  t.equal(
    reasonOf(() => c.responder.readConfirmation(d.initiator.writeConfirmation())),
    'not-confirmed',
  );
});

t.test('a confirmation that comes back to its sender is refused', async (t) => {
  const { initiator, responder, answer } = exchange();
  t.equal(
    reasonOf(() => responder.readConfirmation(answer.confirmation)),
    'not-confirmed',
  );
  initiator.readHello(answer.hello, NOON);
  initiator.readConfirmation(answer.confirmation);
  t.throws(() => initiator.readConfirmation(initiator.writeConfirmation()), HandshakeFinished);
});

t.test('data in place of a confirmation is refused', async (t) => {
  const { initiator, responder, answer } = exchange();
  initiator.readHello(answer.hello, NOON);
  initiator.readConfirmation(answer.confirmation);
  initiator.writeConfirmation();
  const [data = new Uint8Array(0)] = initiator.split().sealer.message(new Uint8Array(32));
  t.equal(
    reasonOf(() => responder.readConfirmation(data)),
    'not-confirmed',
  );
});

t.test('weak ephemeral keys of a person who may come in are refused', async (t) => {
  const template = parseInitiatorHello(newInitiator().writeHello(NOON));
  const weak = {
    x25519: { ...template, x25519: x25519PublicKey(new Uint8Array(32)) },
    mlkem768: { ...template, mlkem768: mlKemPublicKey(new Uint8Array(1184).fill(255)) },
  };
  for (const [which, fields] of Object.entries(weak)) {
    const signed = encodeInitiatorHello(fields);
    const responder = newResponder();
    const signature = signStatement(alice, 'channel initiator hello', [signed]);
    responder.readHello(concatBytes(signed, signature), neverSeen);
    t.equal(
      reasonOf(() => responder.answer(responderRandom(), NOON)),
      'weak-key',
      which,
    );
  }
});

t.test('a hello’s signature is a statement of its own kind', async (t) => {
  const signed = parseInitiatorHello(newInitiator().writeHello(NOON)).signed;
  for (const context of ['channel responder hello', 'sign-in', '']) {
    const other = concatBytes(signed, signStatementNatively(alice, context, [signed]));
    t.equal(
      reasonOf(() => newResponder().readHello(other, neverSeen)),
      'bad-signature',
    );
  }
});

t.test('steps are single-use and in order, also after a failure', async (t) => {
  const initiator = newInitiator();
  t.throws(() => initiator.readHello(new Uint8Array(0), NOON), HandshakeFinished);
  t.throws(() => initiator.split(), HandshakeFinished);
  const { responder, answer } = exchange(initiator);
  t.throws(() => initiator.writeHello(NOON), HandshakeFinished);
  t.throws(() => initiator.writeConfirmation(), HandshakeFinished);
  t.throws(() => responder.split(), HandshakeFinished, 'no keys before confirmation');
  t.throws(() => responder.answer(responderRandom(), NOON), HandshakeFinished);
  t.throws(() => initiator.readHello(flipped(answer.hello, 100), NOON));
  t.throws(() => initiator.readHello(answer.hello, NOON), HandshakeFinished, 'one try only');
  const failed = newResponder();
  t.throws(() => failed.readHello(new Uint8Array(0), neverSeen));
  t.throws(() => failed.answer(responderRandom(), NOON), HandshakeFinished);
  const whole = exchange();
  whole.initiator.readHello(whole.answer.hello, NOON);
  whole.initiator.readConfirmation(whole.answer.confirmation);
  whole.initiator.writeConfirmation();
  whole.initiator.split();
  t.throws(() => whole.initiator.split(), HandshakeFinished);
});
