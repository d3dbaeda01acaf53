/** An Ed25519 key as SSH writes it (RFC 8709, 4), and what people compare of it. */
import { utf8 } from '../bytes.ts';
import { framed } from './framing.ts';
import type { Ed25519PublicKey } from './keys.ts';

/** The SSH wire form: two strings, each with a 4-byte length. */
export const openSshBlob = (ed25519: Ed25519PublicKey): Uint8Array => framed(utf8('ssh-ed25519'), ed25519);

/** @param digest SHA-256 of the SSH wire form. @returns 'SHA256:' and its unpadded base64. */
export const fingerprintText = (digest: Uint8Array): string => `SHA256:${digest.toBase64({ omitPadding: true })}`;
