/** What an attacker can do to a handshake, and the name of each refusal, whatever does the cryptography on either side. */
import fc from 'fast-check';
import t from 'tap';
import { concatBytes } from '../../../shared/bytes.ts';
import { initiatorRandom, responderRandom } from '../../../shared/channel/ephemeral.ts';
import { FRESHNESS_MS } from '../../../shared/channel/limits.ts';
import { HandshakeFinished } from '../../../shared/channel/refusal.ts';
import {
  encodeInitiatorHello,
  encodeResponderHello,
  INITIATOR_HELLO_BYTES,
  type InitiatorFields,
  type Purpose,
  parseInitiatorHello,
  parseResponderHello,
  RESPONDER_HELLO_BYTES,
  type ResponderFields,
} from '../../../shared/channel/wire.ts';
import type { Identity } from '../../../shared/identity/identity.ts';
import { mlKemPublicKey, x25519PublicKey } from '../../../shared/identity/keys.ts';
import { native, sha256 } from '../../../shared/identity/native.ts';
import { signStatementNatively } from '../../../shared/identity/statement.ts';
import {
  alice,
  exchange,
  exchangeBy,
  flipped,
  IMPLEMENTATIONS,
  mallory,
  NOON,
  neverSeen,
  newInitiator,
  newResponder,
  PAIRINGS,
  reasonOf,
  vm,
} from './peers.ts';
import { NOT_ED25519_KEYS, WEAK_X25519_KEYS } from './weak-keys.ts';

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

/** tweetnacl takes 100 times as long to verify: there the bytes at each border, and some of those between. */
const stepOf = (cryptography: unknown): number => (cryptography === native ? 1 : 151);
function places(length: number, regions: [number, string][], step: number): number[] {
  const borders = regions.flatMap(([first]) => [first - 1, first]);
  return [...Array(length).keys()].filter((at) => at % step === 0 || at === length - 1 || borders.includes(at));
}

for (const [name, cryptography] of IMPLEMENTATIONS) {
  t.test(`C2: each changed byte of an initiator’s hello is refused, with the reason, ${name}`, async (t) => {
    const hello = await newInitiator().writeHello(NOON);
    const wrong: string[] = [];
    for (const at of places(INITIATOR_HELLO_BYTES, initiatorRegions, stepOf(cryptography))) {
      const reason = await reasonOf(() => newResponder(vm, cryptography).readHello(flipped(hello, at), neverSeen));
      if (reason !== expected(initiatorRegions, at)) wrong.push(`byte ${at}: ${reason}`);
    }
    t.same(wrong, []);
  });

  t.test(`C2: each changed byte of a responder’s hello is refused, with the reason, ${name}`, async (t) => {
    const wrong: string[] = [];
    const random = initiatorRandom(cryptography);
    const { answer } = await exchange(newInitiator({ random }));
    for (const at of places(RESPONDER_HELLO_BYTES, responderRegions, stepOf(cryptography))) {
      const initiator = newInitiator({ cryptography, random });
      await initiator.writeHello(NOON);
      const reason = await reasonOf(() => initiator.readHello(flipped(answer.hello, at), NOON));
      if (reason !== expected(responderRegions, at)) wrong.push(`byte ${at}: ${reason}`);
    }
    t.same(wrong, []);
  });

  t.test(`C2: hellos cut at every length, and longer ones, are malformed, ${name}`, async (t) => {
    const { hello, answer } = await exchange();
    const toResponder = (bytes: Uint8Array) =>
      reasonOf(() => newResponder(vm, cryptography).readHello(bytes, neverSeen));
    const toInitiator = async (bytes: Uint8Array) => {
      const initiator = newInitiator({ cryptography });
      await initiator.writeHello(NOON);
      return reasonOf(() => initiator.readHello(bytes, NOON));
    };
    const reasons = new Set<string>();
    for (let length = 0; length < hello.length; length++) reasons.add(await toResponder(hello.subarray(0, length)));
    for (let length = 0; length < answer.hello.length; length += stepOf(cryptography))
      reasons.add(await toInitiator(answer.hello.subarray(0, length)));
    for (const more of [1, 64, 1000]) {
      reasons.add(await toResponder(concatBytes(hello, new Uint8Array(more))));
      reasons.add(await toInitiator(concatBytes(answer.hello, new Uint8Array(more))));
    }
    reasons.add(await toResponder(hello.subarray(1)));
    reasons.add(await toResponder(answer.hello));
    t.same([...reasons], ['malformed']);
  });

  t.test(`noise is no hello, ${name}`, async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 3000 }), async (noise) => {
        const reason = await reasonOf(() => newResponder(vm, cryptography).readHello(noise, neverSeen));
        return reason === 'malformed';
      }),
    );
  });

  t.test(`a hello is fresh for five minutes either way, to the millisecond, ${name}`, async (t) => {
    const hello = await newInitiator().writeHello(NOON);
    const atResponder = (now: number) =>
      reasonOf(() => newResponder(vm, cryptography).readHello(hello, { now, isReplay: () => false }));
    const atInitiator = async (now: number) => {
      const { initiator, answer } = await exchange(newInitiator({ cryptography }));
      return reasonOf(() => initiator.readHello(answer.hello, now));
    };
    for (const at of [atResponder, atInitiator]) {
      t.equal(await at(NOON + FRESHNESS_MS), 'accepted');
      t.equal(await at(NOON - FRESHNESS_MS), 'accepted');
      t.equal(await at(NOON + FRESHNESS_MS + 1), 'stale');
      t.equal(await at(NOON - FRESHNESS_MS - 1), 'stale');
    }
  });
}

/** A hello of the identity with something else in it, and a signature that holds. */
async function resigned(
  changes: Partial<InitiatorFields>,
  identity: Identity = alice,
  context = 'channel initiator hello',
): Promise<Uint8Array> {
  const fields = parseInitiatorHello(await newInitiator({ identity }).writeHello(NOON));
  const signed = encodeInitiatorHello({ ...fields, ...changes });
  return concatBytes(signed, signStatementNatively(identity, context, [signed]));
}

/** The same for an answer to `hello`. */
function resignedAnswer(answer: Uint8Array, hello: Uint8Array, changes: Partial<ResponderFields>, by = vm): Uint8Array {
  const signed = encodeResponderHello({ ...parseResponderHello(answer), ...changes });
  return concatBytes(signed, signStatementNatively(by, 'channel responder hello', [sha256(hello), signed]));
}

for (const [name, pairing] of PAIRINGS) {
  const { initiator: ours, responder: theirs } = pairing;
  const read = (hello: Uint8Array, responder = newResponder(vm, theirs)) =>
    reasonOf(() => responder.readHello(hello, neverSeen));

  t.test(`C2: each changed byte of a confirmation is refused, on both sides, ${name}`, async (t) => {
    const wrong: string[] = [];
    const step = stepOf(ours) + stepOf(theirs) > 2 ? 13 : 1;
    for (let at = 0; at < 50; at += step) {
      const one = await exchangeBy(pairing);
      await one.initiator.readHello(one.answer.hello, NOON);
      const atOurs = await reasonOf(() => one.initiator.readConfirmation(flipped(one.answer.confirmation, at)));
      const other = await exchangeBy(pairing);
      await other.initiator.readHello(other.answer.hello, NOON);
      await other.initiator.readConfirmation(other.answer.confirmation);
      const confirmation = await other.initiator.writeConfirmation();
      t.equal(confirmation.length, 50);
      const atTheirs = await reasonOf(() => other.responder.readConfirmation(flipped(confirmation, at)));
      if (atOurs !== 'not-confirmed' || atTheirs !== 'not-confirmed') wrong.push(`byte ${at}: ${atOurs}, ${atTheirs}`);
    }
    t.same(wrong, []);
  });

  t.test(`who it is for, from and whether it was here is asked before any signature, ${name}`, async (t) => {
    const unsigned = async (choice: { identity?: Identity; peer?: Identity }) => {
      const hello = await newInitiator({ ...choice, cryptography: ours }).writeHello(NOON);
      return flipped(hello, hello.length - 1);
    };
    t.equal(await read(await unsigned({ peer: mallory })), 'wrong-recipient');
    t.equal(await read(await unsigned({ identity: vm })), 'reflected');
    const again = await unsigned({});
    t.equal(
      await reasonOf(() => newResponder(vm, theirs).readHello(again, { now: NOON, isReplay: () => true })),
      'replayed',
    );
  });

  t.test(`C2: what comes back to its sender is refused, ${name}`, async (t) => {
    const initiator = newInitiator({ cryptography: ours });
    const hello = await initiator.writeHello(NOON);
    t.equal(await reasonOf(() => initiator.readHello(hello, NOON)), 'malformed');
    const one = await exchangeBy(pairing);
    t.equal(await read(one.answer.hello), 'malformed', 'an answer is no beginning');
    t.equal(await reasonOf(() => one.responder.readConfirmation(one.answer.confirmation)), 'not-confirmed');
    await one.initiator.readHello(one.answer.hello, NOON);
    await one.initiator.readConfirmation(one.answer.confirmation);
    const confirmation = await one.initiator.writeConfirmation();
    await t.rejects(one.initiator.readConfirmation(confirmation), HandshakeFinished);
  });

  t.test(`C2: a hello in another’s name is refused, ${name}`, async (t) => {
    const forger = newInitiator({ cryptography: ours, identity: { public: alice.public, secret: mallory.secret } });
    t.equal(await read(await forger.writeHello(NOON)), 'bad-signature');
    const impostor = newResponder({ public: vm.public, secret: mallory.secret }, theirs);
    const { initiator, answer } = await exchange(newInitiator({ cryptography: ours }), impostor, theirs);
    t.equal(await reasonOf(() => initiator.readHello(answer.hello, NOON)), 'bad-signature');
  });

  t.test(`another VM’s true answer is the wrong peer, and says so loudly, ${name}`, async (t) => {
    const initiator = newInitiator({ cryptography: ours });
    await initiator.writeHello(NOON);
    const elsewhere = await exchange(newInitiator({ peer: mallory }), newResponder(mallory, theirs), theirs);
    await t.rejects(initiator.readHello(elsewhere.answer.hello, NOON), {
      code: 'identity-changed',
      reason: 'wrong-peer',
    });
  });

  t.test(`C2: hellos and confirmations of two sessions do not mix, ${name}`, async (t) => {
    const [a, b] = [await exchangeBy(pairing), await exchangeBy(pairing)];
    t.equal(await reasonOf(() => a.initiator.readHello(b.answer.hello, NOON)), 'bad-signature');
    const [c, d] = [await exchangeBy(pairing), await exchangeBy(pairing)];
    for (const session of [c, d]) await session.initiator.readHello(session.answer.hello, NOON);
    t.equal(await reasonOf(() => c.initiator.readConfirmation(d.answer.confirmation)), 'not-confirmed');
    await d.initiator.readConfirmation(d.answer.confirmation);
    const confirmation = await d.initiator.writeConfirmation();
    t.equal(await reasonOf(() => c.responder.readConfirmation(confirmation)), 'not-confirmed');
  });

  t.test(`C2: an answer for another person, purpose or version is refused, ${name}`, async (t) => {
    const refused = async (changes: Partial<ResponderFields>) => {
      const { initiator, hello, answer } = await exchangeBy(pairing);
      return reasonOf(() => initiator.readHello(resignedAnswer(answer.hello, hello, changes), NOON));
    };
    t.equal(await refused({}), 'accepted', 'signing it again is not what fails');
    t.equal(await refused({ initiator: mallory.public.ed25519 }), 'wrong-recipient');
    t.equal(await refused({ responder: mallory.public.ed25519 }), 'wrong-peer');
    t.equal(await refused({ purpose: 'files' }), 'malformed');
    t.equal(await refused({ time: NOON - FRESHNESS_MS - 1 }), 'stale');
    for (const at of [7, 9]) {
      const { initiator, answer } = await exchangeBy(pairing);
      t.equal(await reasonOf(() => initiator.readHello(flipped(answer.hello, at), NOON)), 'unsupported');
      t.equal(await read(flipped(await newInitiator().writeHello(NOON), at)), 'unsupported');
    }
  });

  t.test(`a person’s own hello for one purpose serves for no other, ${name}`, async (t) => {
    const hello = await newInitiator({ cryptography: ours, purpose: 'files' }).writeHello(NOON);
    for (const [purpose, code] of Object.entries({ control: 1, terminal: 2 }) as [Purpose, number][]) {
      const changed = hello.slice();
      changed[5] = code;
      t.equal(await read(changed), 'bad-signature', purpose);
    }
  });

  t.test(`data in place of a confirmation is refused, ${name}`, async (t) => {
    const { initiator, responder, answer } = await exchangeBy(pairing);
    await initiator.readHello(answer.hello, NOON);
    await initiator.readConfirmation(answer.confirmation);
    await initiator.writeConfirmation();
    const { sealer } = await initiator.split();
    for await (const data of sealer.message(new Uint8Array(32)))
      t.equal(await reasonOf(() => responder.readConfirmation(data)), 'not-confirmed');
  });

  t.test(`garbage in place of the ML-KEM ciphertext, signed or not, is never confirmed, ${name}`, async (t) => {
    const garbage = [new Uint8Array(1088), new Uint8Array(1088).fill(255), native.random(1088)];
    for (const ciphertext of name === 'native to native' ? garbage : garbage.slice(2)) {
      const { initiator, responder, hello, answer } = await exchangeBy(pairing);
      await initiator.readHello(resignedAnswer(answer.hello, hello, { ciphertext }), NOON);
      t.equal(await reasonOf(() => initiator.readConfirmation(answer.confirmation)), 'not-confirmed');
      responder.end();
    }
  });
}

for (const [name, cryptography] of IMPLEMENTATIONS) {
  t.test(`C2: every X25519 key that forces a zero secret is refused on both sides, ${name}`, async (t) => {
    const random = initiatorRandom(cryptography);
    const { hello, answer } = await exchange(newInitiator({ random }));
    for (const hex of WEAK_X25519_KEYS) {
      const x25519 = x25519PublicKey(Uint8Array.fromHex(hex));
      const responder = newResponder(vm, cryptography);
      await responder.readHello(await resigned({ x25519 }), neverSeen);
      t.equal(await reasonOf(() => responder.answer(responderRandom(cryptography), NOON)), 'weak-key', hex);
      const initiator = newInitiator({ cryptography, random });
      await initiator.writeHello(NOON);
      const weak = resignedAnswer(answer.hello, hello, { x25519 });
      t.equal(await reasonOf(() => initiator.readHello(weak, NOON)), 'weak-key', hex);
    }
  });

  t.test(`C2: ML-KEM keys with numbers out of range are refused (FIPS 203, 7.2), ${name}`, async (t) => {
    const good = parseInitiatorHello(await newInitiator().writeHello(NOON)).mlkem768;
    const garbage = [new Uint8Array(1184).fill(255), native.random(1184).fill(255, 0, 1152)];
    // The first, one in the middle and the last coefficient: just q = 3329, which is not below q.
    for (const at of [0, 600, 1149]) {
      const key = good.slice();
      key.set([0x01, 0x1d, 0xd0], at);
      garbage.push(key);
    }
    for (const key of garbage) {
      const responder = newResponder(vm, cryptography);
      await responder.readHello(await resigned({ mlkem768: mlKemPublicKey(key) }), neverSeen);
      t.equal(await reasonOf(() => responder.answer(responderRandom(cryptography), NOON)), 'weak-key');
    }
  });

  t.test(`C2: an Ed25519 key that is nobody’s, or a second spelling, is malformed, ${name}`, async (t) => {
    const hello = await newInitiator().writeHello(NOON);
    const { answer } = await exchange();
    for (const hex of NOT_ED25519_KEYS)
      for (const at of [10, 42]) {
        const changed = hello.slice();
        changed.set(Uint8Array.fromHex(hex), at);
        const responder = newResponder(vm, cryptography);
        t.equal(await reasonOf(() => responder.readHello(changed, neverSeen)), 'malformed', hex);
        const changedAnswer = answer.hello.slice();
        changedAnswer.set(Uint8Array.fromHex(hex), at);
        const initiator = newInitiator({ cryptography: native });
        await initiator.writeHello(NOON);
        t.equal(await reasonOf(() => initiator.readHello(changedAnswer, NOON)), 'malformed', hex);
      }
  });

  t.test(`a hello’s signature is a statement of its own kind, ${name}`, async (t) => {
    for (const context of ['channel responder hello', 'sign-in', '']) {
      const other = await resigned({}, alice, context);
      t.equal(await reasonOf(() => newResponder(vm, cryptography).readHello(other, neverSeen)), 'bad-signature');
    }
  });
}
