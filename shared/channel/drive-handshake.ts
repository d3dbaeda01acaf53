/** Drives the two state machines over a transport, with a deadline. Whatever goes wrong, the transport is closed. */
import { VmcError } from '../errors.ts';
import type { Cryptography } from '../identity/cryptography.ts';
import type { Identity } from '../identity/identity.ts';
import type { Ed25519PublicKey } from '../identity/keys.ts';
import { type Channel, SecureChannel } from './channel.ts';
import { initiatorRandom, responderRandom } from './ephemeral.ts';
import type { HandshakeGate } from './handshake-gate.ts';
import { Initiator } from './initiator.ts';
import { HANDSHAKE_DEADLINE_MS, KEY_LIMITS, type KeyLimits } from './limits.ts';
import { HandshakeRefused, type ProvenPeer } from './refusal.ts';
import type { ReplayCache } from './replay-cache.ts';
import { type Claim, Responder } from './responder.ts';
import type { Transport } from './transport.ts';
import type { Purpose } from './wire.ts';

/** The options of both sides. */
interface CommonOptions {
  /** What does the cryptography (default: of run-handshake.ts node:crypto, of browser.ts what browsers have). */
  cryptography?: Cryptography;
  identity: Identity;
  /** Milliseconds since 1970 (default Date.now). */
  clock?: () => number;
  /** Milliseconds for the whole handshake (default 10,000). */
  deadlineMs?: number;
  signal?: AbortSignal;
  /** When keys are replaced. Both sides need the same. Only tests have a reason to set it. */
  limits?: KeyLimits;
}

interface Needs {
  cryptography: Cryptography;
}

export interface OpenOptions extends CommonOptions {
  /** The pinned identity of the other side. */
  peer: Ed25519PublicKey;
  purpose: Purpose;
}

export interface AcceptOptions extends CommonOptions {
  /** May this person, whose signature held, have such a channel? */
  authorize(peer: Ed25519PublicKey, purpose: Purpose): boolean | Promise<boolean>;
  /** One for all the channels of an identity. */
  replayCache: ReplayCache;
  /** One for all the channels of a daemon. */
  gate?: HandshakeGate;
  /** The first message, if the caller waited for it: a parked socket does so without a deadline. */
  firstMessage?: Uint8Array;
}

/** `openChannel` of run-handshake.ts, by any cryptography. @throws HandshakeRefused */
export function initiate(transport: Transport, options: OpenOptions & Needs): Promise<Channel> {
  const { cryptography, identity, peer, purpose, clock = Date.now, limits = KEY_LIMITS } = options;
  return withinDeadline(transport, options, async ({ checkTime }) => {
    const random = initiatorRandom(cryptography);
    const initiator = new Initiator({ cryptography, identity, peer, purpose, limits, random });
    try {
      await transport.send(await initiator.writeHello(clock()));
      await initiator.readHello(await receive(transport), clock());
      await initiator.readConfirmation(await receive(transport));
      await transport.send(await initiator.writeConfirmation());
      checkTime();
      return new SecureChannel(transport, { peer, purpose }, await initiator.split());
    } catch (error) {
      initiator.end();
      throw error;
    }
  });
}

/** `acceptChannel` of run-handshake.ts, by any cryptography. @throws HandshakeRefused */
export async function respond(transport: Transport, options: AcceptOptions & Needs): Promise<Channel> {
  let leave: (() => void) | undefined;
  try {
    return await withinDeadline(transport, options, (attempt) => {
      leave = options.gate?.enter(() => attempt.stop('too-many'));
      return answerTo(transport, options, attempt);
    });
  } finally {
    leave?.();
  }
}

async function answerTo(transport: Transport, options: AcceptOptions & Needs, attempt: Attempt): Promise<Channel> {
  const { cryptography, identity, authorize, replayCache, clock = Date.now, limits = KEY_LIMITS } = options;
  const responder = new Responder({ cryptography, identity, limits });
  try {
    const claim = await responder.readHello(options.firstMessage ?? (await receive(transport)), {
      now: clock(),
      isReplay: (sender, nonce) => replayCache.has(sender, nonce),
    });
    attempt.proven = { peer: claim.peer, purpose: claim.purpose };
    if (!(await authorize(claim.peer, claim.purpose))) throw new HandshakeRefused('unknown-person');
    attempt.checkTime();
    remember(replayCache, claim, clock());
    const answer = await responder.answer(responderRandom(cryptography), clock());
    await transport.send(answer.hello);
    await transport.send(answer.confirmation);
    await responder.readConfirmation(await receive(transport));
    attempt.checkTime();
    return new SecureChannel(transport, claim, await responder.split());
  } catch (error) {
    responder.end();
    throw error;
  }
}

/** After the rights, not before: only people who may come in can fill the cache. */
function remember(cache: ReplayCache, { peer, nonce }: Claim, now: number): void {
  const outcome = cache.add(peer, nonce, now);
  if (outcome !== 'new') throw new HandshakeRefused(outcome === 'full' ? 'too-many' : 'replayed');
}

async function receive(transport: Transport): Promise<Uint8Array> {
  const message = await transport.receive();
  if (message === undefined) throw new HandshakeRefused('closed');
  return message;
}

/** What is known of an attempt so far. */
interface Attempt {
  proven: ProvenPeer | undefined;
  /** Throws when the deadline has passed: nothing is done for somebody who was already refused. */
  checkTime(): void;
  /** Ends it now. */
  stop(reason: StopReason): void;
}

type StopReason = 'timeout' | 'cancelled' | 'too-many';

async function withinDeadline(
  transport: Transport,
  { deadlineMs = HANDSHAKE_DEADLINE_MS, signal }: CommonOptions,
  work: (attempt: Attempt) => Promise<Channel>,
): Promise<Channel> {
  const over = Promise.withResolvers<never>();
  over.promise.catch(() => {}); // it may be over before anybody waits
  let refused: HandshakeRefused | undefined;
  const stop = (reason: StopReason): void => {
    refused ??= new HandshakeRefused(reason);
    over.reject(refused);
  };
  const attempt: Attempt = {
    proven: undefined,
    checkTime: () => {
      if (refused !== undefined) throw refused;
    },
    stop,
  };
  const cancel = (): void => stop('cancelled');
  const timer = setTimeout(() => stop('timeout'), deadlineMs);
  signal?.addEventListener('abort', cancel, { once: true });
  try {
    if (signal?.aborted) cancel();
    attempt.checkTime();
    return await Promise.race([work(attempt), over.promise]);
  } catch (cause) {
    transport.close();
    const error = asRefusal(cause);
    error.proven ??= attempt.proven;
    throw error;
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', cancel);
  }
}

function asRefusal(cause: unknown): HandshakeRefused {
  if (cause instanceof HandshakeRefused) return cause;
  const cut = cause instanceof VmcError && cause.code === 'channel-closed';
  return new HandshakeRefused(cut ? 'closed' : 'failed', { cause });
}
