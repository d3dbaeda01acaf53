/** Streams in memory and secrets by number: what runConnect needs in place of a process. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { Writable } from 'node:stream';
import type { ConnectIo } from '../../../connect/io.ts';
import { VmcError } from '../../../shared/errors.ts';

export interface FakeIo extends ConnectIo {
  output(): string;
  outputBytes(): Buffer;
  errors(): string;
}

export interface FakeIoOptions {
  folder?: string;
  secrets?: Record<number, string>;
  signal?: AbortSignal;
}

export function fakeIo({ folder = '/nowhere', secrets = {}, signal }: FakeIoOptions = {}): FakeIo {
  const out: Buffer[] = [];
  const err: Buffer[] = [];
  const collect = (chunks: Buffer[]) =>
    new Writable({
      write(chunk: Buffer, _encoding, done) {
        chunks.push(Buffer.from(chunk)); // a copy: keys are wiped after they were written
        done();
      },
    });
  return {
    stdout: collect(out),
    stderr: collect(err),
    stdin: () => {
      throw new VmcError('bad-request', 'A test has no terminal.');
    },
    signal: signal ?? new AbortController().signal,
    readFd: (fd) => {
      const secret = secrets[fd];
      if (secret === undefined) throw new VmcError('bad-request', `Nothing on descriptor ${fd}.`);
      return new TextEncoder().encode(secret);
    },
    defaultFolder: folder,
    runtimeFolder: '/tmp',
    runHere: async (file, args, signal) => {
      const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'pipe'], signal });
      child.on('error', () => {});
      child.stdout.on('data', (chunk: Buffer) => out.push(chunk));
      child.stderr.on('data', (chunk: Buffer) => err.push(chunk));
      const [code] = await once(child, 'close');
      return code;
    },
    output: () => Buffer.concat(out).toString(),
    outputBytes: () => Buffer.concat(out),
    errors: () => Buffer.concat(err).toString(),
  };
}
