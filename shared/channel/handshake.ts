/** What both sides of a handshake have in common. */
import { FRESHNESS_MS } from './limits.ts';
import type { RecordOpener, RecordSealer } from './records.ts';

/** Contexts of the signed statements (identity/statement.ts) that hellos are. */
export const HELLO_CONTEXT = { initiator: 'channel initiator hello', responder: 'channel responder hello' } as const;

export const isFresh = (time: number, now: number): boolean => Math.abs(now - time) <= FRESHNESS_MS;

/** What a handshake is made for. */
export interface Split {
  sealer: RecordSealer;
  opener: RecordOpener;
}
