/** A key or a passphrase for a key slot, from a descriptor or the terminal: never from argv. */
import type { Command } from 'commander';
import type * as z from 'zod';
import { drivePassphraseSchema, type driveUnlockSchema } from '../../shared/api/drive-keys.ts';
import { equalBytes, wipe } from '../../shared/bytes.ts';
import { promptSecret } from '../../shared/cli/secret.ts';
import { VmcError } from '../../shared/errors.ts';
import { toBase64 } from '../../shared/names.ts';
import type { ConnectIo } from '../io.ts';
import { checked, descriptor } from '../options.ts';

/** As it is sent. */
export type SlotSecret = z.input<typeof driveUnlockSchema>;

export interface SlotSecretOptions {
  ask?: boolean;
  slotPassphraseFd?: number;
  keyFd?: number;
}

const KEY_BYTES = 32;

export function slotSecretOptions(command: Command): Command {
  return command
    .option('--ask', 'a passphrase, asked at the terminal')
    .option('--slot-passphrase-fd <n>', 'a passphrase, read from this descriptor', descriptor)
    .option('--key-fd <n>', 'a key, 32 bytes in base64, read from this descriptor', descriptor);
}

/** @param twice a new passphrase is typed twice. @returns undefined when none was named. */
export async function readSlotSecret(
  io: ConnectIo,
  { ask, slotPassphraseFd, keyFd }: SlotSecretOptions,
  twice: boolean,
): Promise<SlotSecret | undefined> {
  if ([ask === true, slotPassphraseFd !== undefined, keyFd !== undefined].filter(Boolean).length > 1)
    throw new VmcError('bad-request', 'Say one of --ask, --slot-passphrase-fd and --key-fd.');
  if (keyFd !== undefined) return { key: keyOf(io.readFd(keyFd, 'The key')) };
  if (slotPassphraseFd !== undefined) return passphraseOf(io.readFd(slotPassphraseFd, 'The passphrase'));
  return ask === true ? passphraseOf(await asked(io, twice)) : undefined;
}

async function asked(io: ConnectIo, twice: boolean): Promise<Uint8Array> {
  const first = await promptSecret('Passphrase of the drive', io.stdin(), io.stderr, io.signal);
  if (!twice) return first;
  const second = await promptSecret('The same once more', io.stdin(), io.stderr, io.signal);
  const same = equalBytes(first, second);
  wipe(second);
  if (same) return first;
  wipe(first);
  throw new VmcError('bad-request', 'The two passphrases differ.', 'Nothing was changed. Try again.');
}

function passphraseOf(bytes: Uint8Array): SlotSecret {
  try {
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
    return { passphrase: checked(drivePassphraseSchema, text, 'the passphrase') };
  } catch (error) {
    if (error instanceof VmcError) throw error;
    throw new VmcError('bad-request', 'The passphrase is not UTF-8.');
  } finally {
    wipe(bytes);
  }
}

/** Checked here and spelled anew: what is sent is a key or nothing. */
function keyOf(text: Uint8Array): string {
  try {
    const key = Uint8Array.fromBase64(new TextDecoder().decode(text), { lastChunkHandling: 'strict' });
    const spelled = key.length === KEY_BYTES ? toBase64(key) : undefined;
    wipe(key);
    if (spelled !== undefined) return spelled;
  } catch {
    // said below
  } finally {
    wipe(text);
  }
  throw new VmcError(
    'bad-request',
    'The key is not 32 bytes in base64.',
    'connect drive key export NAME | base64 -w0 writes one.',
  );
}
