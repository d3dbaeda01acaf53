/**
 * QEMU's block layer without a VM: qemu-storage-daemon, spoken to by QMP, ends with the agent however that ends.
 * https://www.qemu.org/docs/master/interop/qmp-spec.html, https://www.qemu.org/docs/master/tools/qemu-storage-daemon.html
 */
import { once } from 'node:events';
import { rm } from 'node:fs/promises';
import { createServer, type Socket } from 'node:net';
import { dirname } from 'node:path';
import { createInterface } from 'node:readline';
import * as z from 'zod';
import { VmcError } from '../../shared/errors.ts';
import { makeFolder } from '../../shared/files.ts';
import { printable, run } from '../../shared/run.ts';
import { parseJson } from '../../shared/validate.ts';

/** A copy of the largest drive takes days at most. */
const LIFE_MS = 14 * 24 * 60 * 60_000;
const START_MS = 30_000;
const ANSWER_MS = 60_000;

const messageSchema = z.object({
  return: z.unknown().optional(),
  error: z.object({ class: z.string(), desc: z.string() }).optional(),
  event: z.string().optional(),
  data: z.record(z.string(), z.unknown()).optional(),
});

export interface StorageDaemon {
  /** @throws VmcError 'command-failed' with what QEMU says, 'timeout'. */
  execute(command: string, args?: Readonly<Record<string, unknown>>): Promise<unknown>;
  /** The next event of that name for which `of` holds; or `ms` have passed. */
  nextEvent(name: string, of: (data: Readonly<Record<string, unknown>>) => boolean, ms: number): Promise<void>;
}

export interface StorageDaemonOptions {
  /** For a socket: what a crash left there is replaced. */
  socket: string;
  /** Block nodes, in an order in which each can be opened. */
  blockdevs: readonly Readonly<Record<string, unknown>>[];
  signal?: AbortSignal | undefined;
}

/** Runs `work` with one of its own. @throws what `work` throws; VmcError 'command-failed' when the daemon ends before. */
export async function withStorageDaemon<T>(
  options: StorageDaemonOptions,
  work: (daemon: StorageDaemon) => Promise<T>,
): Promise<T> {
  const path = options.socket;
  await makeFolder(dirname(path), 0o700);
  await rm(path, { force: true });
  const stop = new AbortController();
  const server = createServer({ noDelay: true });
  try {
    server.listen(path);
    await once(server, 'listening');
    const connected = once(server, 'connection', {
      signal: AbortSignal.any([stop.signal, AbortSignal.timeout(START_MS)]),
    });
    connected.catch(() => {}); // whichever of the two is first, below
    const signal = options.signal === undefined ? stop.signal : AbortSignal.any([stop.signal, options.signal]);
    const process = run({
      file: 'setpriv',
      args: [
        ...['--pdeathsig', 'KILL', '--', 'qemu-storage-daemon'],
        ...['--chardev', `socket,id=qmp,path=${path}`, '--monitor', 'chardev=qmp'],
        ...options.blockdevs.flatMap((it) => ['--blockdev', JSON.stringify(it)]),
      ],
      timeoutMs: LIFE_MS,
      signal,
    });
    const ended = process.then(() => {
      throw new VmcError('command-failed', 'qemu-storage-daemon ended too early.');
    });
    ended.catch(() => {});
    const working = (async () => {
      const [socket] = (await connected) as [Socket];
      const daemon = qmp(socket);
      await daemon.execute('qmp_capabilities');
      return work(daemon);
    })();
    working.catch(() => {});
    try {
      return await Promise.race([working, ended]);
    } finally {
      stop.abort();
      await process.catch(() => {}); // until it is gone it holds the files
      await working.catch(() => {});
    }
  } finally {
    stop.abort();
    server.close();
    await rm(path, { force: true });
  }
}

function qmp(socket: Socket): StorageDaemon {
  const answers: PromiseWithResolvers<unknown>[] = [];
  const listeners = new Set<(event: string, data: Readonly<Record<string, unknown>>) => void>();
  const lines = createInterface({ input: socket });
  lines.on('line', (line) => {
    let message: z.output<typeof messageSchema>;
    try {
      message = parseJson(messageSchema, line, "QEMU's answer");
    } catch (error) {
      socket.destroy(error as Error);
      return;
    }
    if (message.event !== undefined) for (const listener of listeners) listener(message.event, message.data ?? {});
    else if (message.error !== undefined)
      answers.shift()?.reject(new VmcError('command-failed', `QEMU: ${printable(message.error.desc)}`));
    else if (message.return !== undefined) answers.shift()?.resolve(message.return); // else: its greeting
  });
  const fail = () => {
    for (const answer of answers.splice(0)) answer.reject(new VmcError('command-failed', 'qemu-storage-daemon ended.'));
  };
  socket.on('error', fail);
  lines.on('error', fail); // the socket's, once more
  socket.on('close', fail);
  return {
    async execute(command, args = {}) {
      if (socket.destroyed) throw new VmcError('command-failed', 'qemu-storage-daemon ended.');
      const answer = Promise.withResolvers<unknown>();
      answers.push(answer);
      const late = setTimeout(() => {
        answer.reject(new VmcError('timeout', `qemu-storage-daemon does not answer to ${command}.`));
        socket.destroy();
      }, ANSWER_MS);
      socket.write(`${JSON.stringify({ execute: command, arguments: args })}\n`);
      try {
        return await answer.promise;
      } finally {
        clearTimeout(late);
      }
    },
    nextEvent(name, of, ms) {
      return new Promise((resolve) => {
        const settle = () => {
          clearTimeout(timer);
          listeners.delete(listener);
          socket.off('close', settle);
          resolve();
        };
        const listener = (event: string, data: Readonly<Record<string, unknown>>) => {
          if (event === name && of(data)) settle();
        };
        const timer = setTimeout(settle, ms);
        listeners.add(listener);
        socket.once('close', settle);
      });
    },
  };
}
