/** The two hellos and the confirmation: what comes before anybody is known. */
import { concatBytes, equalBytes } from '../../../shared/bytes.ts';
import { HELLO_CONTEXT } from '../../../shared/channel/handshake.ts';
import { Initiator } from '../../../shared/channel/initiator.ts';
import { KEY_LIMITS } from '../../../shared/channel/limits.ts';
import { Responder } from '../../../shared/channel/responder.ts';
import {
  encodeInitiatorHello,
  encodeResponderHello,
  parseInitiatorHello,
  parseResponderHello,
} from '../../../shared/channel/wire.ts';
import { type MlKemPublicKey, SIZE } from '../../../shared/identity/keys.ts';
import { native, sha256 } from '../../../shared/identity/native.ts';
import { mlKemEncapsulate } from '../../../shared/identity/portable.ts';
import { signStatementNatively } from '../../../shared/identity/statement.ts';
import { insist, type Target, verdict, verdictOf } from '../target.ts';
import { alice, mallory, NOON, vm } from './people.ts';

const filled = (size: number, fill: number) => new Uint8Array(size).fill(fill);

const newInitiator = (purpose: 'control' | 'terminal' | 'files' = 'control') =>
  new Initiator({
    identity: alice,
    peer: vm.public.ed25519,
    purpose,
    random: { x25519: filled(32, 1), mlkem768: filled(64, 2), nonce: filled(32, 3) },
    limits: KEY_LIMITS,
    cryptography: native,
  });
const newResponder = () => new Responder({ cryptography: native, identity: vm, limits: KEY_LIMITS });
const responderRandom = () => ({
  x25519: filled(32, 4),
  nonce: filled(32, 5),
  encapsulate: (peer: MlKemPublicKey) => mlKemEncapsulate(peer, filled(32, 6)),
});
const neverSeen = { now: NOON, isReplay: () => false };

const initiatorHellos = async () => [
  await newInitiator().writeHello(NOON),
  await newInitiator('files').writeHello(NOON - 200_000),
];
/** What the responder answers to the first of them, and what the initiator says then. */
async function genuineRest(): Promise<{ hello: Uint8Array; confirmations: [Uint8Array, Uint8Array] }> {
  const [initiator, responder] = [newInitiator(), newResponder()];
  await responder.readHello(await initiator.writeHello(NOON), neverSeen);
  const { hello, confirmation } = await responder.answer(responderRandom(), NOON);
  await initiator.readHello(hello, NOON);
  await initiator.readConfirmation(confirmation);
  return { hello, confirmations: [confirmation, await initiator.writeConfirmation()] };
}
/** For the form alone. */
function formOfResponderHello(): Uint8Array {
  const fields = {
    purpose: 'control',
    initiator: alice.public.ed25519,
    responder: vm.public.ed25519,
    x25519: vm.public.x25519,
    ciphertext: filled(SIZE.mlkem768Ciphertext, 7),
    time: NOON,
    nonce: filled(32, 8),
  } as const;
  return concatBytes(encodeResponderHello(fields), filled(SIZE.signature, 9));
}

/** With a signature that holds, by `signer`, so that what is behind the signature is reached. */
function resigned(input: Uint8Array, signer: typeof alice, context: string, before: readonly Uint8Array[]): Uint8Array {
  const signed = input.subarray(0, Math.max(0, input.length - SIZE.signature));
  return concatBytes(signed, signStatementNatively(signer, context, [...before, signed]));
}

const bytes = { form: 'bytes', maxBytes: 8192 } as const;

export const helloTargets: Target[] = [
  {
    name: 'channel/initiator-hello-form',
    from: 'stranger',
    weight: 40,
    ...bytes,
    open: async () => ({
      seeds: await initiatorHellos(),
      run: (input) =>
        verdict(() => {
          const { signature, signed, ...fields } = parseInitiatorHello(input);
          insist(equalBytes(signed, input.subarray(0, signed.length)), 'what is signed is what came');
          // A time beyond 2^53 is rounded, and stale.
          if (fields.time < Number.MAX_SAFE_INTEGER)
            insist(equalBytes(concatBytes(encodeInitiatorHello(fields), signature), input), 'one way to write a hello');
        }),
    }),
  },
  {
    name: 'channel/responder-hello-form',
    from: 'stranger',
    weight: 40,
    ...bytes,
    open: () => ({
      seeds: [formOfResponderHello()],
      run: (input) =>
        verdict(() => {
          const { signature, signed, ...fields } = parseResponderHello(input);
          insist(equalBytes(signed, input.subarray(0, signed.length)), 'what is signed is what came');
          if (fields.time < Number.MAX_SAFE_INTEGER)
            insist(equalBytes(concatBytes(encodeResponderHello(fields), signature), input), 'one way to write a hello');
        }),
    }),
  },
  {
    name: 'channel/responder-reads-hello',
    from: 'stranger',
    weight: 1,
    ...bytes,
    open: async () => ({
      seeds: await initiatorHellos(),
      run: (input) =>
        verdictOf(async () => {
          const responder = newResponder();
          const claim = await responder.readHello(input, neverSeen);
          insist(!equalBytes(claim.peer, vm.public.ed25519), 'nobody is let in under our own name');
          const { hello, confirmation } = await responder.answer(responderRandom(), NOON);
          insist(hello.length === formOfResponderHello().length && confirmation.length === 50, 'the answer is whole');
        }),
      repair: (input, random) => resigned(input, random.chance(0.8) ? alice : mallory, HELLO_CONTEXT.initiator, []),
    }),
  },
  {
    name: 'channel/initiator-reads-hello',
    from: 'stranger',
    weight: 0,
    ...bytes,
    open: async () => {
      const [ours = new Uint8Array()] = await initiatorHellos();
      const { hello, confirmations } = await genuineRest();
      // A hello, and the record that comes after it.
      const whole = concatBytes(hello, confirmations[0]);
      return {
        seeds: [whole, hello, formOfResponderHello()],
        run: (input) =>
          verdictOf(async () => {
            const initiator = newInitiator();
            await initiator.writeHello(NOON);
            await initiator.readHello(input.subarray(0, hello.length), NOON);
            await initiator.readConfirmation(input.subarray(hello.length));
            insist(equalBytes(input, whole), 'only who has the keys can confirm them');
          }),
        repair: (input, random) =>
          concatBytes(
            resigned(input.subarray(0, hello.length), random.chance(0.8) ? vm : mallory, HELLO_CONTEXT.responder, [
              sha256(ours),
            ]),
            input.subarray(hello.length),
          ),
      };
    },
  },
  {
    name: 'channel/confirmation',
    from: 'stranger',
    weight: 0,
    ...bytes,
    open: async () => {
      const [hello = new Uint8Array()] = await initiatorHellos();
      const [theirs, valid] = (await genuineRest()).confirmations;
      return {
        seeds: [valid, theirs, filled(50, 16), filled(18, 16), filled(0, 0)],
        run: (input) =>
          verdictOf(async () => {
            const responder = newResponder();
            await responder.readHello(hello, neverSeen);
            await responder.answer(responderRandom(), NOON);
            await responder.readConfirmation(input);
            insist(equalBytes(input, valid), 'nobody without the keys can confirm them');
            await responder.split();
          }),
      };
    },
  },
];
