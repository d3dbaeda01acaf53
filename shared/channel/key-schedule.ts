/**
 * From two hellos and two shared secrets to the keys of a channel (RFC 5869, SP 800-56C rev. 2):
 *
 *   th   = SHA-256("vmc/1 channel transcript" NUL ‖ framed(initiator's hello, responder's hello)), signatures included
 *   prk  = Extract(salt = th, input = ML-KEM secret ‖ X25519 secret)
 *   for each sender ("initiator", "responder"):
 *     secret       = Expand(prk, "vmc/1 channel <sender> secret" NUL ‖ th, 32)
 *     confirmation = HMAC(Expand(prk, "vmc/1 channel <sender> confirm" NUL ‖ th, 32), th)
 *   for each secret, in turn:
 *     key  = Expand(secret, "vmc/1 channel key" NUL, 32)     iv = Expand(secret, "vmc/1 channel iv" NUL, 12)
 *     next = Expand(secret, "vmc/1 channel update" NUL, 32), and the old one is forgotten
 *
 * No output is longer than 32 bytes, so Extract(salt, input) is HMAC(salt, input) and Expand(key, info, n) the first n
 * bytes of HMAC(key, info ‖ 0x01).
 */
import { concatBytes, wipe } from '../bytes.ts';
import type { Cryptography } from '../identity/cryptography.ts';
import { domain, framed } from '../identity/framing.ts';

export interface DirectionKeys {
  /** From which this direction's first key follows. */
  secret: Uint8Array;
  /** Proof that its sender has the keys: 32 bytes, its first record. */
  confirmation: Uint8Array;
}

export interface ChannelKeys {
  initiator: DirectionKeys;
  responder: DirectionKeys;
}

/** The last byte of what the one HMAC of an expansion covers. */
const BLOCK_1 = Uint8Array.of(1);

/** What the keys of records are expanded with. */
const INFO = {
  key: concatBytes(domain('channel key'), BLOCK_1),
  iv: concatBytes(domain('channel iv'), BLOCK_1),
  update: concatBytes(domain('channel update'), BLOCK_1),
};

/** `th` above. */
export const transcriptHash = async (
  { sha256 }: Cryptography,
  initiatorHello: Uint8Array,
  responderHello: Uint8Array,
): Promise<Uint8Array> => sha256(domain('channel transcript'), framed(initiatorHello, responderHello));

/** `prk` above. Wipes both shared secrets. */
export async function extractKey(
  { hmac }: Cryptography,
  th: Uint8Array,
  mlKemSecret: Uint8Array,
  x25519Secret: Uint8Array,
): Promise<Uint8Array> {
  const input = concatBytes(mlKemSecret, x25519Secret);
  for (const bytes of [mlKemSecret, x25519Secret]) wipe(bytes);
  try {
    return await hmac(th, input);
  } finally {
    wipe(input);
  }
}

/** Wipes `prk`. */
export async function channelKeys({ hmac }: Cryptography, prk: Uint8Array, th: Uint8Array): Promise<ChannelKeys> {
  const direction = async (sender: string): Promise<DirectionKeys> => {
    const secret = await hmac(prk, concatBytes(domain(`channel ${sender} secret`), th, BLOCK_1));
    const key = await hmac(prk, concatBytes(domain(`channel ${sender} confirm`), th, BLOCK_1));
    const confirmation = await hmac(key, th);
    wipe(key);
    return { secret, confirmation };
  };
  try {
    return { initiator: await direction('initiator'), responder: await direction('responder') };
  } finally {
    wipe(prk);
  }
}

/** The whole way from the hellos. Wipes both shared secrets. */
export async function deriveChannelKeys(
  cryptography: Cryptography,
  initiatorHello: Uint8Array,
  responderHello: Uint8Array,
  mlKemSecret: Uint8Array,
  x25519Secret: Uint8Array,
): Promise<ChannelKeys> {
  const th = await transcriptHash(cryptography, initiatorHello, responderHello);
  return channelKeys(cryptography, await extractKey(cryptography, th, mlKemSecret, x25519Secret), th);
}

export interface RecordKey {
  key: Uint8Array;
  iv: Uint8Array;
}

export async function recordKey({ hmac }: Cryptography, secret: Uint8Array): Promise<RecordKey> {
  const key = await hmac(secret, INFO.key);
  return { key, iv: (await hmac(secret, INFO.iv)).slice(0, 12) };
}

/** The secret after this one. Wipes this one: what was sent before cannot be opened with what comes after. */
export async function nextSecret({ hmac }: Cryptography, secret: Uint8Array): Promise<Uint8Array> {
  const next = await hmac(secret, INFO.update);
  wipe(secret);
  return next;
}
