/** What a peer must refuse, and the name of each refusal. Every class that bytes can lead to is here. */
import { concatBytes } from '../../shared/bytes.ts';
import {
  encodeInitiatorHello,
  encodeResponderHello,
  type InitiatorFields,
  parseInitiatorHello,
  parseResponderHello,
  type ResponderFields,
} from '../../shared/channel/wire.ts';
import type { Identity } from '../../shared/identity/identity.ts';
import { mlKemPublicKey, x25519PublicKey } from '../../shared/identity/keys.ts';
import { native, sha256 } from '../../shared/identity/native.ts';
import { signStatementNatively } from '../../shared/identity/statement.ts';
import { bytes, initiatorIdentity, inputs, responderIdentity } from './channel-inputs.ts';
import type { computeOutputs } from './channel-outputs.ts';

type Outputs = Awaited<ReturnType<typeof computeOutputs>>;

const MINUTES_5 = 300_000;
const L = 2n ** 252n + 27742317777372353535851937790883648493n;

/** A signed message with S + L in place of S: the point equation holds, RFC 8032, 5.1.7 refuses it. */
function withLargeS(hello: Uint8Array): string {
  const at = hello.length - 32;
  const s = BigInt(`0x${hello.slice(at).reverse().toHex()}`) + L;
  return concatBytes(hello.subarray(0, at), bytes(s.toString(16).padStart(64, '0')).reverse()).toHex();
}

/** Whole hellos with something wrong and a signature that holds. */
function resigned(outputs: Outputs) {
  const hello = bytes(outputs.initiatorHello);
  const { signed: _, signature: __, ...ours } = parseInitiatorHello(hello);
  const { signed: ___, signature: ____, ...theirs } = parseResponderHello(bytes(outputs.responderHello));
  const initiator = (changes: Partial<InitiatorFields>, by: Identity = initiatorIdentity, context = 'initiator') => {
    const unsigned = encodeInitiatorHello({ ...ours, ...changes });
    return concatBytes(unsigned, signStatementNatively(by, `channel ${context} hello`, [unsigned])).toHex();
  };
  const responder = (changes: Partial<ResponderFields>, by = responderIdentity, answering = hello) => {
    const unsigned = encodeResponderHello({ ...theirs, ...changes });
    const statement = signStatementNatively(by, 'channel responder hello', [sha256(answering), unsigned]);
    return concatBytes(unsigned, statement).toHex();
  };
  const [us, them] = [initiatorIdentity.public.ed25519, responderIdentity.public.ed25519];
  const zero = x25519PublicKey(new Uint8Array(32));
  const order8 = x25519PublicKey(bytes('e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800'));
  const outOfRange = ours.mlkem768.slice();
  outOfRange.set([0x01, 0x1d], 0); // the first coefficient is q = 3329 or more
  return {
    initiatorX25519Zero: initiator({ x25519: zero }),
    initiatorX25519Order8: initiator({ x25519: order8 }),
    initiatorMlKemAllOnes: initiator({ mlkem768: mlKemPublicKey(new Uint8Array(1184).fill(255)) }),
    initiatorMlKemCoefficientQ: initiator({ mlkem768: mlKemPublicKey(outOfRange) }),
    fromTheResponder: initiator({ initiator: them }, responderIdentity),
    toTheInitiator: initiator({ responder: us }),
    signedByAnother: initiator({}, responderIdentity),
    signedForAnotherUse: initiator({}, initiatorIdentity, 'responder'),
    initiatorLargeS: withLargeS(hello),
    responderX25519Zero: responder({ x25519: zero }),
    responderX25519Order8: responder({ x25519: order8 }),
    responderSignedByAnother: responder({}, initiatorIdentity),
    responderToAnotherHello: responder({}, responderIdentity, new Uint8Array(1394)),
    responderForAnotherPurpose: responder({ purpose: 'files' }),
    responderForAnotherInitiator: responder({ initiator: them }),
    responderOther: responder({ responder: us }, initiatorIdentity),
    responderLargeS: withLargeS(bytes(outputs.responderHello)),
    responderGarbageCiphertext: responder({ ciphertext: new Uint8Array(1088).fill(7) }),
  };
}

/**
 * `to` gets the hello `of` (a name above or in `hellos`), with `xor` at byte `at`, `set` (hex) written at byte `at`,
 * `drop` bytes off its end or `append` (hex) after it, when its clock is `now` (default responderTime).
 */
interface HelloCase {
  name: string;
  to: 'initiator' | 'responder';
  of?: string;
  at?: number;
  xor?: number;
  set?: string;
  drop?: number;
  append?: string;
  now?: number;
  /** The state of the responder, where it matters. */
  responder?: 'has-seen-it' | 'memory-full' | 'no-right';
  expect: string;
}

const SMALL_ORDER = '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05';
const SECOND_SPELLING = `f0${'ff'.repeat(30)}7f`;

function helloCases(): HelloCase[] {
  const ours = { to: 'responder', of: 'initiatorHello' } as const;
  const theirs = { to: 'initiator', of: 'responderHello' } as const;
  const { initiatorTime, responderTime } = inputs;
  const form = (of: typeof ours | typeof theirs): HelloCase[] => [
    { ...of, name: 'one byte short', drop: 1, expect: 'malformed' },
    { ...of, name: 'one byte long', append: '00', expect: 'malformed' },
    { ...of, name: 'another magic', at: 0, xor: 32, expect: 'malformed' },
    { ...of, name: 'the type of the other hello', at: 4, xor: 3, expect: 'malformed' },
    { ...of, name: 'purpose 0', at: 5, xor: 2, expect: 'unsupported' },
    { ...of, name: 'version 2', at: 7, xor: 3, expect: 'unsupported' },
    { ...of, name: 'suite 0', at: 9, xor: 1, expect: 'unsupported' },
    { ...of, name: 'initiator of small order', at: 10, set: SMALL_ORDER, expect: 'malformed' },
    { ...of, name: 'responder of small order', at: 42, set: SMALL_ORDER, expect: 'malformed' },
    { ...of, name: 'initiator in a second spelling', at: 10, set: SECOND_SPELLING, expect: 'malformed' },
    { ...of, name: 'another ephemeral key than was signed', at: 74, xor: 1, expect: 'bad-signature' },
    { ...of, name: 'another ML-KEM value than was signed', at: 200, xor: 1, expect: 'bad-signature' },
  ];
  return [
    { name: 'nothing, and the connection ends', to: 'responder', expect: 'closed' },
    { ...ours, name: 'an empty message', drop: 1394, expect: 'malformed' },
    ...form(ours),
    { ...ours, name: 'another purpose than was signed', at: 5, xor: 3, expect: 'bad-signature' },
    { ...ours, name: 'another nonce than was signed', at: 1298, xor: 1, expect: 'bad-signature' },
    { ...ours, name: 'a changed signature (R)', at: 1330, xor: 1, expect: 'bad-signature' },
    { ...ours, name: 'a changed signature (S)', at: 1393, xor: 1, expect: 'bad-signature' },
    { name: 'S + L in place of S', to: 'responder', of: 'initiatorLargeS', expect: 'bad-signature' },
    { name: 'signed by another', to: 'responder', of: 'signedByAnother', expect: 'bad-signature' },
    { name: 'signed for another use', to: 'responder', of: 'signedForAnotherUse', expect: 'bad-signature' },
    { ...ours, name: 'a millisecond too old', now: initiatorTime + MINUTES_5 + 1, expect: 'stale' },
    { ...ours, name: 'a millisecond too far ahead', now: initiatorTime - MINUTES_5 - 1, expect: 'stale' },
    { ...ours, name: 'here before', responder: 'has-seen-it', expect: 'replayed' },
    { ...ours, name: 'no room to remember it', responder: 'memory-full', expect: 'too-many' },
    { ...ours, name: 'somebody without the right', responder: 'no-right', expect: 'unknown-person' },
    { name: 'for another recipient', to: 'responder', of: 'toTheInitiator', expect: 'wrong-recipient' },
    { name: 'from the responder itself', to: 'responder', of: 'fromTheResponder', expect: 'reflected' },
    { name: 'an answer in place of a beginning', to: 'responder', of: 'responderHello', expect: 'malformed' },
    { name: 'X25519 key 0', to: 'responder', of: 'initiatorX25519Zero', expect: 'weak-key' },
    { name: 'X25519 key of order 8', to: 'responder', of: 'initiatorX25519Order8', expect: 'weak-key' },
    { name: 'ML-KEM key of ones', to: 'responder', of: 'initiatorMlKemAllOnes', expect: 'weak-key' },
    { name: 'ML-KEM coefficient q', to: 'responder', of: 'initiatorMlKemCoefficientQ', expect: 'weak-key' },
    ...form(theirs),
    { name: 'its own hello back', to: 'initiator', of: 'initiatorHello', expect: 'malformed' },
    { name: 'another purpose', to: 'initiator', of: 'responderForAnotherPurpose', expect: 'malformed' },
    { ...theirs, name: 'another responder', at: 42, xor: 1, expect: 'wrong-peer' },
    { name: 'another’s true answer', to: 'initiator', of: 'responderOther', expect: 'wrong-peer' },
    { name: 'for another initiator', to: 'initiator', of: 'responderForAnotherInitiator', expect: 'wrong-recipient' },
    { ...theirs, name: 'a millisecond too old', now: responderTime + MINUTES_5 + 1, expect: 'stale' },
    { ...theirs, name: 'a millisecond too far ahead', now: responderTime - MINUTES_5 - 1, expect: 'stale' },
    { ...theirs, name: 'a changed signature (S)', at: 1297, xor: 1, expect: 'bad-signature' },
    { name: 'S + L in place of S', to: 'initiator', of: 'responderLargeS', expect: 'bad-signature' },
    { name: 'signed by another', to: 'initiator', of: 'responderSignedByAnother', expect: 'bad-signature' },
    { name: 'an answer to another hello', to: 'initiator', of: 'responderToAnotherHello', expect: 'bad-signature' },
    { name: 'X25519 key 0', to: 'initiator', of: 'responderX25519Zero', expect: 'weak-key' },
    { name: 'X25519 key of order 8', to: 'initiator', of: 'responderX25519Order8', expect: 'weak-key' },
  ];
}

interface Body {
  fill: number;
  length: number;
}
/** A record as it is, or one that the reader seals under the sender's first key with the next number: those are long. */
type RecordInput = { record: string } | { zeros: number } | { type: number; flags: number; body: Body };

/** Records from the initiator after its confirmation (number 0), for a receiver with the vector's keyLimits or the real ones. */
function recordCases(outputs: Outputs) {
  const { key, iv, afterKeyUpdate: after } = outputs.initiatorKeys;
  const seal = (number: number, type: number, flags: number, body = '', of: { key: string; iv: string } = { key, iv }) => {
    const nonce = bytes(of.iv);
    nonce[11] = (nonce[11] ?? 0) ^ number;
    return native.aesGcm(bytes(of.key)).seal(nonce, Uint8Array.of(type, flags), bytes(body)).toHex();
  };
  const [CONFIRMATION, DATA, UPDATE, CLOSE] = [16, 17, 18, 19];
  const good = seal(1, DATA, 0, '01');
  const flip = (record: string, at: number): string => bytes(record).map((b, i) => (i === at ? b ^ 1 : b)).toHex();
  const full = { type: DATA, flags: 1, body: { fill: 1, length: 65_536 } };
  const of = (...records: (string | RecordInput)[]) =>
    records.map((record) => (typeof record === 'string' ? { record } : record));
  const theirs = outputs.records.find(({ from }) => from === 'responder')?.records[0]?.record ?? '';
  return [
    { name: 'too short for a tag', records: of(good.slice(0, 34)), expect: 'length' },
    { name: 'longer than any record', records: of({ zeros: 65_555 }), expect: 'length' },
    { name: 'a changed body', records: of(flip(good, 2)), expect: 'tampered' },
    { name: 'a changed tag', records: of(flip(good, 18)), expect: 'tampered' },
    { name: 'a changed flag', records: of(flip(good, 1)), expect: 'tampered' },
    { name: 'a byte short', records: of(good.slice(0, -2)), expect: 'tampered' },
    { name: 'a byte long', records: of(`${good}00`), expect: 'tampered' },
    { name: 'the same twice', records: of(good, good), expect: 'tampered' },
    { name: 'one was dropped', records: of(seal(2, DATA, 0, '02')), expect: 'tampered' },
    { name: 'the confirmation again', records: of(outputs.initiatorConfirmationRecord), expect: 'tampered' },
    { name: 'from the other direction', records: of(theirs), expect: 'tampered' },
    { name: 'the old key after an update', records: of(good, seal(2, UPDATE, 0), seal(3, DATA, 0)), expect: 'tampered' },
    { name: 'a type that does not exist', records: of(seal(1, 20, 0)), expect: 'type' },
    { name: 'a second confirmation', records: of(seal(1, CONFIRMATION, 0, '00'.repeat(32))), expect: 'type' },
    { name: 'a flag that does not exist', records: of(seal(1, DATA, 2)), expect: 'type' },
    { name: 'a close that goes on', records: of(seal(1, CLOSE, 1)), expect: 'type' },
    { name: 'a key update that goes on', records: of(seal(1, UPDATE, 1)), expect: 'type' },
    { name: 'a close with a body', records: of(seal(1, CLOSE, 0, '00')), expect: 'fragment' },
    { name: 'an empty part', records: of(seal(1, DATA, 1)), expect: 'fragment' },
    { name: 'a short part', records: of(seal(1, DATA, 1, '00')), expect: 'fragment' },
    { name: 'an empty last part', records: of(full, seal(2, DATA, 0)), expect: 'fragment' },
    { name: 'a close inside a message', records: of(full, seal(2, CLOSE, 0)), expect: 'fragment' },
    { name: 'a message without an end', records: of(...Array(16).fill(full)), expect: 'message-length' },
    { name: 'too many under one key', keyLimits: true, records: of(...[1, 2, 3, 4].map((n) => seal(n, DATA, 0))), expect: 'key-worn-out' },
    { name: 'an update that is a key’s first', records: of(good, seal(2, UPDATE, 0), seal(0, UPDATE, 0, '', after)), expect: 'key-update' },
    { name: 'more after a close', records: of(seal(1, CLOSE, 0), seal(2, DATA, 0)), expect: 'over' },
  ];
}

/** `to` gets this record where the other side's confirmation belongs. */
function confirmationCases(outputs: Outputs) {
  const { initiatorConfirmationRecord: ours, responderConfirmationRecord: theirs, initiatorKeys } = outputs;
  const last = (record: string): string => record.slice(0, -1) + (record.endsWith('0') ? '1' : '0');
  const data = native.aesGcm(bytes(initiatorKeys.key)).seal(bytes(initiatorKeys.iv), Uint8Array.of(17, 0), bytes(initiatorKeys.confirmation));
  const flagged = native.aesGcm(bytes(initiatorKeys.key)).seal(bytes(initiatorKeys.iv), Uint8Array.of(16, 1), bytes(initiatorKeys.confirmation));
  const wrong = native.aesGcm(bytes(initiatorKeys.key)).seal(bytes(initiatorKeys.iv), Uint8Array.of(16, 0), new Uint8Array(32));
  const cases = [
    { name: 'a changed tag', to: 'responder', record: last(ours) },
    { name: 'its own confirmation back', to: 'responder', record: theirs },
    { name: 'under the right key, with the wrong value', to: 'responder', record: wrong.toHex() },
    { name: 'the right value as data', to: 'responder', record: data.toHex() },
    { name: 'the right value with a flag', to: 'responder', record: flagged.toHex() },
    { name: 'too short', to: 'responder', record: '1000' },
    { name: 'a changed tag', to: 'initiator', record: last(theirs) },
    { name: 'its own confirmation back', to: 'initiator', record: ours },
    { name: 'after garbage as ML-KEM ciphertext', to: 'initiator', hello: 'responderGarbageCiphertext', record: theirs },
  ];
  return cases.map((one) => ({ ...one, expect: 'not-confirmed' }));
}

export const negativeCases = (outputs: Outputs) => ({
  signedHellos: resigned(outputs),
  hellos: helloCases(),
  confirmations: confirmationCases(outputs),
  records: recordCases(outputs),
});
