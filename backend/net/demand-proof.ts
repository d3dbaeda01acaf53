/** The first seconds of a websocket whose peer proves by a signature who it is (relay-wire, agent-api). */
import { randomBytes } from 'node:crypto';
import type { RawData, WebSocket } from 'ws';
import type * as z from 'zod';
import { toBase64 } from '../../shared/names.ts';
import { RELAY_CLOSE } from '../../shared/relay-wire.ts';

const DEADLINE_MS = 10_000;
const MAX_ANSWER_BYTES = 1024;

export interface Demand<S extends z.ZodType, T> {
  answer: S;
  /** Who it is, or undefined when the signature does not hold. */
  check(answer: z.output<S>, challenge: Uint8Array): T | undefined;
  /** Called in the same tick as the answer came: not a message is lost. */
  proven(who: T): void;
  /** Called when there was no proof: it was wrong, too late, or the peer went away. */
  refused?(): void;
  deadlineMs?: number;
}

export function demandProof<S extends z.ZodType, T>(socket: WebSocket, demand: Demand<S, T>): void {
  const challenge = new Uint8Array(randomBytes(32));
  const finish = () => {
    clearTimeout(timer);
    socket.off('message', onMessage);
    socket.off('close', onClose);
  };
  const onClose = () => {
    finish();
    demand.refused?.();
  };
  const refuse = () => {
    onClose();
    closeSoon(socket, RELAY_CLOSE.unauthenticated);
  };
  const timer = setTimeout(refuse, demand.deadlineMs ?? DEADLINE_MS);
  const onMessage = (data: RawData, isBinary: boolean) => {
    const answer = isBinary ? undefined : parseText(demand.answer, data);
    const who = answer === undefined ? undefined : demand.check(answer, challenge);
    if (who === undefined) return refuse();
    finish();
    demand.proven(who);
  };
  socket.on('message', onMessage);
  socket.on('close', onClose);
  socket.send(JSON.stringify({ type: 'challenge', challenge: toBase64(challenge) }));
}

function parseText<S extends z.ZodType>(schema: S, data: RawData): z.output<S> | undefined {
  const bytes = data as Buffer; // binaryType is 'nodebuffer'
  if (bytes.length > MAX_ANSWER_BYTES) return undefined;
  try {
    return schema.parse(JSON.parse(bytes.toString('utf8')));
  } catch {
    return undefined;
  }
}

/** Closes with a code, and cuts when the other side does not close within a second. */
export function closeSoon(socket: WebSocket, code: number): void {
  const timer = setTimeout(() => socket.terminate(), 1000);
  socket.once('close', () => clearTimeout(timer));
  socket.close(code);
  socket.resume(); // a paused socket would not see the other side's close
}
