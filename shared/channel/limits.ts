/** Every number of the channel, with its reason. docs/protocol.md repeats them. */

/** Plaintext of one record, in bytes. */
export const MAX_RECORD_PLAINTEXT = 64 * 1024;
export const RECORD_HEADER_BYTES = 2;
export const RECORD_OVERHEAD = RECORD_HEADER_BYTES + 16;
/** The longest transport message there is, in bytes: set it as `maxPayload` of a WebSocket. */
export const MAX_TRANSPORT_MESSAGE = MAX_RECORD_PLAINTEXT + RECORD_OVERHEAD;
/** The longest message of the channel, in bytes; its receiver buffers no more than this. */
export const MAX_MESSAGE = 1024 * 1024;

/** A hello is fresh when its time is at most this far from the receiver's clock, in milliseconds. */
export const FRESHNESS_MS = 5 * 60_000;
/** From the first message (or from opening) to key confirmation, in milliseconds. */
export const HANDSHAKE_DEADLINE_MS = 10_000;
/** How long `close` waits for the other side's close, in milliseconds. */
export const CLOSE_GRACE_MS = 2_000;

/**
 * When a key has to be replaced. AES-GCM with counter nonces is safe for far more (SP 800-38D allows 2^32 invocations
 * and 2^64 blocks in all); replacing it sooner also limits what a key that leaks later can open.
 */
export interface KeyLimits {
  /** Records under one key, not counting the key update itself. At least 1. */
  readonly records: number;
  /** Plaintext bytes under one key. At least one record's worth. */
  readonly bytes: number;
}
export const KEY_LIMITS: KeyLimits = { records: 2 ** 20, bytes: 16 * 2 ** 30 };
