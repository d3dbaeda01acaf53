/** The key that signs tickets and passes. Relays hold its public half; it lies in the state folder beside the TLS key. */
import { randomBytes } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { VmcError } from '../../shared/errors.ts';
import { readIfThere, writeOnce } from '../../shared/files.ts';
import type { Ed25519PublicKey } from '../../shared/identity/keys.ts';
import { ed25519FromSeed } from '../../shared/identity/native.ts';
import { toBase64 } from '../../shared/names.ts';

export interface TicketKey {
  /** 32 bytes. */
  seed: Uint8Array;
  public: Ed25519PublicKey;
}

const keyPath = (stateDir: string) => join(stateDir, 'relay-ticket.key');

/** Reads the key, or makes it. The folder must be there. @throws VmcError 'bad-config' when others could read it, 'bad-data'. */
export async function initTicketKey(stateDir: string): Promise<TicketKey> {
  if ((await readIfThere(keyPath(stateDir))) === undefined)
    await writeOnce(keyPath(stateDir), `${toBase64(randomBytes(32))}\n`, 0o600);
  return readTicketKey(stateDir);
}

/** @throws VmcError 'not-found' before `backend init`. */
export async function readTicketKey(stateDir: string): Promise<TicketKey> {
  const path = keyPath(stateDir);
  const text = await readIfThere(path);
  if (text === undefined)
    throw new VmcError('not-found', `There is no ticket key of the backend in ${stateDir}.`, 'Run: backend init');
  if (((await stat(path)).mode & 0o077) !== 0)
    throw new VmcError('bad-config', `Others may read ${path}.`, `Run: chmod 600 ${path}`);
  if (!/^[A-Za-z0-9+/]{43}=\n$/.test(text))
    throw new VmcError(
      'bad-data',
      `${path} is damaged.`,
      'Restore it from a backup; or remove it: the backend makes another, and relays that run by themselves need its public half.',
    );
  const seed = new Uint8Array(Buffer.from(text, 'base64'));
  return { seed, public: ed25519FromSeed(seed) };
}
