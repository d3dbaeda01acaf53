/** Reading a secret from a file descriptor or a terminal: never from argv or the environment. */
import { closeSync, readSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { Writable } from 'node:stream';
import { VmcError } from '../errors.ts';

const MAX_SECRET_BYTES = 4096;

/** Everything up to the end of `fd`, less one final newline. @throws VmcError 'bad-request' when it is empty or too long. */
export function readSecretFd(fd: number, what: string): Uint8Array {
  const buffer = new Uint8Array(MAX_SECRET_BYTES + 1);
  let size = 0;
  try {
    for (;;) {
      const read = readSync(fd, buffer, size, buffer.length - size, null);
      if (read === 0) break;
      size += read;
      if (size > MAX_SECRET_BYTES)
        throw new VmcError('bad-request', `${what} is longer than ${MAX_SECRET_BYTES} bytes.`);
    }
  } catch (error) {
    if (error instanceof VmcError) throw error;
    throw new VmcError(
      'bad-request',
      `${what} cannot be read from descriptor ${fd}.`,
      'Open it, for example with 3<FILE.',
      { cause: error },
    );
  } finally {
    if (fd > 2) closeSync(fd);
  }
  if (size > 0 && buffer[size - 1] === 0x0a) size--;
  if (size === 0) throw new VmcError('bad-request', `${what} is empty.`);
  const secret = buffer.slice(0, size);
  buffer.fill(0);
  return secret;
}

/**
 * Asks on the terminal without echo.
 * @param signal ends the question. @throws VmcError 'bad-request' when there is no terminal, 'cancelled'.
 */
export async function promptSecret(
  question: string,
  stdin: NodeJS.ReadStream,
  stderr: NodeJS.WritableStream,
  signal?: AbortSignal,
): Promise<Uint8Array> {
  if (!stdin.isTTY)
    throw new VmcError(
      'bad-request',
      `${question}: there is no terminal to ask on.`,
      'Pass a descriptor: --passphrase-fd 3.',
    );
  const mute = new Writable({ write: (_chunk, _encoding, done) => done() });
  const lines = createInterface({ input: stdin, output: mute, terminal: true });
  stderr.write(`${question}: `); // only now: the terminal has stopped to echo
  try {
    const text = await new Promise<string>((resolve, reject) => {
      lines.once('line', resolve);
      lines.once('SIGINT', () => reject(new VmcError('cancelled', 'Cancelled.')));
      lines.once('close', () => reject(new VmcError('cancelled', 'Cancelled.')));
      signal?.addEventListener('abort', () => lines.close(), { once: true });
      if (signal?.aborted) lines.close();
    });
    if (text === '') throw new VmcError('bad-request', 'An empty passphrase protects nothing.');
    return new TextEncoder().encode(text);
  } finally {
    lines.close();
    stderr.write('\n');
  }
}
