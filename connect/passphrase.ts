/** The passphrase of the identity: from a descriptor, or asked on the terminal without echo. Never from argv or the environment. */
import { equalBytes, wipe } from '../shared/bytes.ts';
import { promptSecret } from '../shared/cli/secret.ts';
import { VmcError } from '../shared/errors.ts';
import type { ConnectIo } from './io.ts';

/** The caller wipes it. @throws VmcError 'bad-request', 'cancelled'. */
export async function readPassphrase(io: ConnectIo, fd: number | undefined): Promise<Uint8Array> {
  if (fd !== undefined) return io.readFd(fd, 'The passphrase');
  return promptSecret('Passphrase of your identity', io.stdin(), io.stderr, io.signal);
}

/** For a new identity: on a terminal it is asked twice. @throws VmcError 'bad-request', 'cancelled'. */
export async function readNewPassphrase(io: ConnectIo, fd: number | undefined): Promise<Uint8Array> {
  if (fd !== undefined) return io.readFd(fd, 'The passphrase');
  const first = await promptSecret('Passphrase for the new identity', io.stdin(), io.stderr, io.signal);
  const second = await promptSecret('The same once more', io.stdin(), io.stderr, io.signal);
  const same = equalBytes(first, second);
  wipe(second);
  if (same) return first;
  wipe(first);
  throw new VmcError('bad-request', 'The two passphrases differ.', 'Nothing was made. Try again.');
}
