/** What people give to `vmc drive …`. */
import { driveKeySchema } from '../shared/api/drive.ts';
import { type DriveUnlock, drivePassphraseSchema } from '../shared/api/drive-keys.ts';
import { wipe } from '../shared/bytes.ts';
import { readSecretFd } from '../shared/cli/secret.ts';
import { VmcError } from '../shared/errors.ts';
import { driveIdSchema } from '../shared/names.ts';
import { describeIssues } from '../shared/validate.ts';

export const KEY_HELP = 'file descriptor with the key: 32 bytes in base64';
export const PASSPHRASE_HELP = 'file descriptor with a passphrase, in place of the key';

export interface UnlockOptions {
  keyFd?: string;
  passphraseFd?: string;
}

export const driveId = (text: string): string => valid(driveIdSchema.safeParse(text), 'the drive');

export const readKey = (fdText: string): Uint8Array<ArrayBuffer> =>
  readSecret(fdText, '--key-fd', 'The key', (text) => valid(driveKeySchema.safeParse(text), 'the key'));

/** @throws VmcError 'bad-request' unless it is one of the two. */
export function readUnlock({ keyFd, passphraseFd }: UnlockOptions, prefix = '--'): DriveUnlock {
  if (keyFd !== undefined && passphraseFd === undefined) return { key: readKey(keyFd) };
  if (passphraseFd === undefined || keyFd !== undefined)
    throw new VmcError('bad-request', `Give one of ${prefix}key-fd and ${prefix}passphrase-fd.`);
  return readSecret(passphraseFd, `${prefix}passphrase-fd`, 'The passphrase', (text) => ({
    passphrase: valid(drivePassphraseSchema.safeParse(text), 'the passphrase'),
  }));
}

function readSecret<T>(fdText: string, option: string, what: string, use: (text: string) => T): T {
  if (!/^\d{1,4}$/.test(fdText)) throw new VmcError('bad-request', `${option} takes the number of a file descriptor.`);
  const text = readSecretFd(Number(fdText), what);
  try {
    return use(new TextDecoder().decode(text));
  } finally {
    wipe(text);
  }
}

export function valid<T>(
  parsed: { success: true; data: T } | { success: false; error: Parameters<typeof describeIssues>[0] },
  what: string,
): T {
  if (parsed.success) return parsed.data;
  throw new VmcError('bad-request', `${what}: ${describeIssues(parsed.error)}.`);
}
