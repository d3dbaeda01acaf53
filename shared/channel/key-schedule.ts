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
 */
import { concatBytes, wipe } from '../bytes.ts';
import { domain, expand, extract, framed, hmac, sha256 } from '../identity/hkdf.ts';

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

/** Wipes both shared secrets. */
export function deriveChannelKeys(
  initiatorHello: Uint8Array,
  responderHello: Uint8Array,
  mlKemSecret: Uint8Array,
  x25519Secret: Uint8Array,
): ChannelKeys {
  const th = sha256(domain('channel transcript'), framed(initiatorHello, responderHello));
  const input = concatBytes(mlKemSecret, x25519Secret);
  const prk = extract(th, input);
  const direction = (sender: string): DirectionKeys => ({
    secret: expand(prk, concatBytes(domain(`channel ${sender} secret`), th), 32),
    confirmation: hmac(expand(prk, concatBytes(domain(`channel ${sender} confirm`), th), 32), th),
  });
  const keys = { initiator: direction('initiator'), responder: direction('responder') };
  for (const bytes of [input, prk, mlKemSecret, x25519Secret]) wipe(bytes);
  return keys;
}

export interface RecordKey {
  key: Uint8Array;
  iv: Uint8Array;
}

export function recordKey(secret: Uint8Array): RecordKey {
  return { key: expand(secret, domain('channel key'), 32), iv: expand(secret, domain('channel iv'), 12) };
}

/** The secret after this one. Wipes this one: what was sent before cannot be opened with what comes after. */
export function nextSecret(secret: Uint8Array): Uint8Array {
  const next = expand(secret, domain('channel update'), 32);
  wipe(secret);
  return next;
}
