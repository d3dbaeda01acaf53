/** Whose log it should be: a VM's public key, or its fingerprint. */
import { equalBytes } from '../bytes.ts';
import { VmcError } from '../errors.ts';
import { fingerprint } from '../identity/fingerprint.ts';
import { type Ed25519PublicKey, ed25519PublicKey } from '../identity/keys.ts';

/** Says whether a key in base64, as a record names it, is the one that was expected. */
export type ExpectedKey = (base64: string) => boolean;

export const exactly =
  (key: Ed25519PublicKey): ExpectedKey =>
  (base64) =>
    equalBytes(Uint8Array.fromBase64(base64), key);

/**
 * @param text base64 of 32 bytes, `SHA256:…`, or the JSON of a public identity.
 * @throws VmcError 'bad-request'.
 */
export function parseExpectedKey(text: string): ExpectedKey {
  const trimmed = text.trim();
  if (/^SHA256:[A-Za-z0-9+/]{43}$/.test(trimmed))
    return (base64) => fingerprint(Uint8Array.fromBase64(base64) as Ed25519PublicKey) === trimmed;
  try {
    const json: unknown = trimmed.startsWith('{') ? JSON.parse(trimmed) : undefined;
    const base64 = json === undefined ? trimmed : (json as { ed25519?: unknown }).ed25519;
    return exactly(ed25519PublicKey(Uint8Array.fromBase64(String(base64), { lastChunkHandling: 'strict' })));
  } catch (cause) {
    throw new VmcError(
      'bad-request',
      'That is not the public key of a VM.',
      'Write its fingerprint (SHA256:…, as on its console), its 32 bytes in base64, or @FILE with either.',
      { cause },
    );
  }
}
