/** The words at the relay before two sockets are paired, and the first word of a host's link: both directions. */
import { EventEmitter } from 'node:events';
import type { WebSocket } from 'ws';
import type * as z from 'zod';
import { demandProof } from '../../../backend/net/demand-proof.ts';
import { hostLinkAnswerSchema, hostLinkHelloSchema } from '../../../shared/agent-api/index.ts';
import { receiveMessage } from '../../../shared/backend-client/websocket.ts';
import { concatBytes, equalBytes } from '../../../shared/bytes.ts';
import { statementBytes } from '../../../shared/identity/framing.ts';
import { ed25519FromSeed, sign } from '../../../shared/identity/native.ts';
import { signStatementNatively, verifyStatement } from '../../../shared/identity/statement.ts';
import { toBase64 } from '../../../shared/names.ts';
import {
  makePass,
  makeQuestion,
  makeTicket,
  readPass,
  readQuestion,
  readTicket,
} from '../../../shared/relay/ticket.ts';
import { relayToUserSchema, relayToVmSchema, vmToRelaySchema } from '../../../shared/relay-wire.ts';
import { bytesOf, insist, type Target, verdict, verdictOf } from '../target.ts';
import { alice, NOON, vm } from './people.ts';

/** As much of a `ws` socket as they use; what is tried is what they do with its messages. */
class Socket extends EventEmitter {
  readonly OPEN = 1;
  readyState = 1;
  closed = false;
  send(): void {}
  pause(): void {}
  resume(): void {}
  terminate(): void {
    this.close();
  }
  close(): void {
    this.closed = true;
    this.emit('close', 1000);
  }
}

const socketOf = () => {
  const socket = new Socket();
  return { socket, webSocket: socket as unknown as WebSocket };
};

function proofTarget<S extends z.ZodType<{ signature: string | Uint8Array }>>(
  name: string,
  answer: S,
  seeds: unknown[],
): Target {
  return {
    name,
    from: 'stranger',
    form: 'json',
    weight: 3,
    maxBytes: 70_000,
    open: () => ({
      seeds: seeds.map(bytesOf),
      run: (input) => {
        const { socket, webSocket } = socketOf();
        let proven = false;
        let refused = 0;
        demandProof(webSocket, {
          answer,
          check: ({ signature }) => {
            const bytes = typeof signature === 'string' ? Buffer.from(signature, 'base64') : signature;
            return verifyStatement(alice.public.ed25519, 'park', [], bytes) ? true : undefined;
          },
          proven: () => {
            proven = true;
          },
          refused: () => {
            refused++;
          },
        });
        socket.emit('message', Buffer.from(input), false);
        insist(refused === (proven ? 0 : 1) && proven !== socket.closed, 'after one message it is proven or closed');
        socket.close();
        return proven ? 'accepted' : 'refused:unauthenticated';
      },
    }),
  };
}

function wordTarget(name: string, schema: z.ZodType, seeds: unknown[]): Target {
  return {
    name,
    from: 'peer',
    form: 'json',
    weight: 3,
    maxBytes: 70_000,
    open: () => ({
      seeds: seeds.map(bytesOf),
      run: (input) =>
        verdictOf(async () => {
          const { socket, webSocket } = socketOf();
          const received = receiveMessage(webSocket, schema);
          socket.emit('message', Buffer.from(input), false);
          await received;
        }),
    }),
  };
}

const signature = toBase64(signStatementNatively(alice, 'park', []));
const challenge = { type: 'challenge', challenge: toBase64(new Uint8Array(32)) };

const seed = new Uint8Array(32).fill(40);
const key = ed25519FromSeed(seed);
const holder = { vmId: 'vm-0123456789ab', expiresAt: NOON } as const;
const pass = makePass(seed, { ...holder, ownerId: 'user-0123456789ab', vmKey: vm.public.ed25519 });
const ticket = makeTicket(seed, {
  ...holder,
  userId: 'user-0123456789ab',
  nonce: new Uint8Array(16),
  relayPin: '0'.repeat(64),
});

const question = makeQuestion(seed, { expiresAt: NOON, relayPin: '0'.repeat(64) });

/** Signed by the backend's own key, whatever it says: as a backend with a defect, or a hostile one, would make it. */
function resigned(input: Uint8Array, context: string): Uint8Array {
  const body = input.subarray(0, Math.max(0, input.length - 64));
  return concatBytes(body, sign(statementBytes(context, [body]), seed));
}

/** @param read of a token that the backend signed. @param make what it signed, again. */
function tokenTarget<T>(
  name: string,
  context: string,
  seedToken: Uint8Array,
  read: (bytes: Uint8Array) => T | undefined,
  make: (token: T) => Uint8Array,
): Target {
  return {
    name,
    from: 'stranger',
    form: 'bytes',
    weight: 3,
    maxBytes: 1024,
    open: () => ({
      seeds: [seedToken],
      run: (input) =>
        verdict(() => {
          const token = read(input);
          if (token === undefined) return false;
          insist(equalBytes(make(token), input), 'one way to write it');
        }),
      repair: (input) => resigned(input, context),
    }),
  };
}

export const relayTargets: Target[] = [
  tokenTarget(
    'relay/ticket',
    'relay-ticket',
    ticket,
    (bytes) => readTicket(key, bytes),
    (it) => makeTicket(seed, it),
  ),
  tokenTarget(
    'relay/pass',
    'relay-pass',
    pass,
    (bytes) => readPass(key, bytes),
    (it) => makePass(seed, it),
  ),
  tokenTarget(
    'relay/question',
    'relay-question',
    question,
    (bytes) => readQuestion(key, bytes),
    (it) => makeQuestion(seed, it),
  ),
  proofTarget('relay/vm-says', vmToRelaySchema, [{ type: 'park', pass: toBase64(pass), signature }]),
  proofTarget('backend/host-link-says', hostLinkAnswerSchema, [
    { type: 'link', hostId: 'host-0123456789ab', signature },
  ]),
  wordTarget('vmc/relay-says', relayToVmSchema, [challenge, { type: 'parked' }, { type: 'paired' }]),
  wordTarget('connect/relay-says', relayToUserSchema, [{ type: 'paired' }]),
  wordTarget('host-agent/backend-says', hostLinkHelloSchema, [challenge]),
];
