/** The host key of this VM's SFTP server: made once, kept in the state folder, so that clients which pin it are not alarmed. */
import { lstat, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import ssh2, { type ParsedKey } from 'ssh2';
import { wipe } from '../../shared/bytes.ts';
import { VmcError } from '../../shared/errors.ts';
import { isErrno, writeOnce } from '../../shared/files.ts';
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
  const privateKey = await readFile(path, 'utf8');
  const parsed = parse(privateKey);
  if (parsed?.type !== 'ssh-ed25519' || !parsed.isPrivateKey())
    throw new VmcError('bad-data', `${path} is damaged.`, HINT);
  return { privateKey, publicKey: `ssh-ed25519 ${parsed.getPublicSSH().toBase64()}` };
}

async function makeHostKey(path: string): Promise<void> {
  const seed = random(SIZE.secret);
  try {
    const pair = { seed, key: ed25519FromSeed(seed) };
    await writeOnce(path, openSshPrivateKey(pair, random(4), 'vmc'), 0o600);
  } finally {
    wipe(seed);
  }
}

function parse(text: string): ParsedKey | undefined {
  const parsed = ssh2.utils.parseKey(text);
  return parsed instanceof Error ? undefined : parsed;
}
