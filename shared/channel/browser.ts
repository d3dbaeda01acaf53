/**
 * All that a peer in a browser needs, and nothing that needs Node: to make an identity, to show and compare
 * fingerprints, to open a channel over the browser's own WebSocket. A test bundles this file and runs it without Node.
 */
import type { Cryptography } from '../identity/cryptography.ts';
import type { Identity, IdentitySecret } from '../identity/identity.ts';
import type { Ed25519PublicKey } from '../identity/keys.ts';
import { makeIdentity, randomSeeds } from '../identity/make-identity.ts';
import { portable } from '../identity/portable.ts';
import { fingerprintText, openSshBlob } from '../identity/ssh-form.ts';
import type { Channel } from './channel.ts';
import { initiate, type OpenOptions } from './drive-handshake.ts';
import type { Transport } from './transport.ts';

export { VmcError } from '../errors.ts';
export type { Identity, IdentitySecret, PublicIdentity } from '../identity/identity.ts';
export { type Ed25519PublicKey, ed25519PublicKey } from '../identity/keys.ts';
export { type BrowserSocket, browserTransport } from './browser-transport.ts';
export type { Channel } from './channel.ts';
export type { OpenOptions } from './drive-handshake.ts';
export { HandshakeRefused, type RefusalReason } from './refusal.ts';
export type { Transport } from './transport.ts';

const cryptography: Cryptography = portable;

/** @throws HandshakeRefused */
export const openChannel = (transport: Transport, options: OpenOptions): Promise<Channel> =>
  initiate(transport, { cryptography, ...options });

export const generateIdentity = (): Identity => makeIdentity(randomSeeds(cryptography.random), cryptography);

/** Keeps the seeds themselves, not copies. */
export const identityFromSeeds = (secret: IdentitySecret): Identity => makeIdentity(secret, cryptography);

/** What people compare: the same text as `ssh-keygen -lf` prints for the same key. */
export const fingerprint = async (key: Ed25519PublicKey): Promise<string> =>
  fingerprintText(await cryptography.sha256(openSshBlob(key)));
