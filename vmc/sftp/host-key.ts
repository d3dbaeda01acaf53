/**
 * The host key of this VM's SFTP server: made once, kept in the state folder, so that clients which pin it are not alarmed.
 *
 *   sftp-host-key    32 B Ed25519 seed, 32 B public key, which proves that the seed is whole
 */
import { lstat } from 'node:fs/promises';
import { join } from 'node:path';
import { concatBytes, equalBytes, wipe } from '../../shared/bytes.ts';
import { VmcError } from '../../shared/errors.ts';
import { isErrno, readBytesIfThere, writeOnce } from '../../shared/files.ts';
import { openSshPublicKey } from '../../shared/identity/fingerprint.ts';
import { SIZE } from '../../shared/identity/keys.ts';
import { ed25519FromSeed, random } from '../../shared/identity/native.ts';
import { openSshPrivateKey } from './openssh-private-key.ts';

export interface HostKey {
  /** OpenSSH's form. */
  privateKey: string;
  /** As a known_hosts file has it: algorithm and base64. */
  publicKey: string;
}

const HINT = 'Remove it and restart vmc: a new one is made, and clients that remember the old one will complain.';

/** @throws VmcError 'bad-data' for a file that is damaged or that others can read: none is made in its place. */
export async function loadHostKey(stateDir: string): Promise<HostKey> {
  const path = join(stateDir, 'sftp-host-key');
  const there = await lstat(path).catch((error: unknown) => {
    if (isErrno(error, 'ENOENT')) return undefined;
    throw error;
  });
  if (there === undefined) await makeHostKey(path);
  else if (!there.isFile() || (there.mode & 0o077) !== 0)
    throw new VmcError('bad-data', `${path} is not a file of root alone.`, HINT);
  const pair = await readBytesIfThere(path);
  const damaged = new VmcError('bad-data', `${path} is damaged.`, HINT);
  if (pair?.length !== SIZE.secret + SIZE.ed25519) throw damaged;
  try {
    const seed = pair.subarray(0, SIZE.secret);
    const key = ed25519FromSeed(seed);
    if (!equalBytes(key, pair.subarray(SIZE.secret))) throw damaged;
    return {
      privateKey: openSshPrivateKey({ seed, key }, random(4), 'vmc'),
      publicKey: openSshPublicKey(key, ''),
    };
  } finally {
    wipe(pair);
  }
}

async function makeHostKey(path: string): Promise<void> {
  const seed = random(SIZE.secret);
  const pair = concatBytes(seed, ed25519FromSeed(seed));
  try {
    await writeOnce(path, pair, 0o600);
  } finally {
    wipe(seed);
    wipe(pair);
  }
}
