/** A person's device on the lab's site: runs the real `connect` in its namespace, as a person would. */
import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { errorFromFields, VmcError } from '../shared/errors.ts';
import { run } from '../shared/run.ts';
import type { Undo } from '../shared/undo.ts';
import { NODE, program, ROOT } from './programs.ts';

const MAX_OUTPUT_BYTES = 1024 * 1024;

export interface ConnectOptions {
  /** Bytes to offer on a descriptor from 4 upwards; 3 carries the passphrase. */
  descriptors?: Readonly<Record<number, Uint8Array>>;
  timeoutMs?: number;
  signal?: AbortSignal;
}

export interface Tunnel {
  /** 127.0.0.1 port on the device. */
  port: number;
  close(): Promise<void>;
}

export class UserDevice {
  readonly name: string;
  readonly #enter: readonly string[];
  readonly #folder: string;
  readonly #passphrase = randomBytes(18).toString('base64');

  /** @param enter argv prefix that runs a command in the device's namespace. @param folder of this person's files. */
  constructor(name: string, enter: readonly string[], folder: string) {
    this.name = name;
    this.#enter = enter;
    this.#folder = folder;
  }

  /** The folder with the sealed identity and the pins. */
  get configFolder(): string {
    return join(this.#folder, 'connect');
  }

  get passphrase(): string {
    return this.#passphrase;
  }

  /** argv of `connect …` on this device, for a person to type. */
  argv(args: readonly string[]): string[] {
    const connect = program('connect');
    return [...this.#enter, ...connect, '--dir', this.configFolder, '--passphrase-fd', '3', ...args];
  }

  /** Runs `connect … --json`. @returns what it answered. @throws VmcError as connect reported it. */
  async connect<T = Record<string, unknown>>(args: readonly string[], options: ConnectOptions = {}): Promise<T> {
    const stdout = await this.connectRaw([...args, '--json'], options);
    return JSON.parse(stdout.toString('utf8')) as T;
  }

  /** Runs `connect …` and returns the bytes on its stdout. */
  async connectRaw(args: readonly string[], options: ConnectOptions = {}): Promise<Buffer> {
    const child = this.#spawn(args, options);
    const chunks: Buffer[] = [];
    let size = 0;
    child.stdout?.on('data', (chunk: Buffer) => {
      size += chunk.length;
      if (size <= MAX_OUTPUT_BYTES) chunks.push(chunk);
    });
    const stderr = text(child.stderr as Readable);
    const code = await exitOf(child);
    if (options.signal?.aborted === true) throw new VmcError('cancelled', 'Cancelled.');
    if (code !== 0) throw connectError(args, code, await stderr);
    return Buffer.concat(chunks);
  }

  /** Runs `connect tunnel` until closed. */
  async tunnel(vm: string, port: number, undo: Undo, signal?: AbortSignal): Promise<Tunnel> {
    const child = this.#spawn(['tunnel', vm, String(port), '--json'], {
      timeoutMs: 2 ** 31 - 1,
      ...(signal === undefined ? {} : { signal }),
    });
    const stderr = text(child.stderr as Readable);
    const exit = exitOf(child);
    const close = async () => {
      if (child.exitCode === null) child.kill('SIGTERM');
      await exit;
    };
    undo.add('the tunnel', close);
    const lines = createInterface({ input: child.stdout as Readable });
    const first = await new Promise<string>((resolve, reject) => {
      lines.once('line', resolve);
      void exit.then(async (code) => reject(connectError(['tunnel'], code, await stderr)));
    });
    const parsed = JSON.parse(first) as { localPort?: number };
    if (parsed.localPort === undefined) throw new VmcError('bad-data', `connect tunnel printed ${first}`);
    return { port: parsed.localPort, close };
  }

  /** A request from this device's own network, through curl. */
  async curl(args: readonly string[], options: { input?: Uint8Array; timeoutMs?: number } = {}): Promise<Buffer> {
    const [file, ...rest] = [
      ...this.#enter,
      'curl',
      '--silent',
      '--show-error',
      '--fail-with-body',
      '--max-time',
      String((options.timeoutMs ?? 120_000) / 1000),
      ...args,
    ];
    const child = spawn(file as string, rest, { stdio: ['pipe', 'pipe', 'pipe'] });
    child.stdin.on('error', () => {}); // curl may not want it
    child.stdin.end(options.input ?? '');
    const stderr = text(child.stderr);
    const chunks: Buffer[] = [];
    child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
    const code = await exitOf(child);
    const body = Buffer.concat(chunks);
    if (code !== 0)
      throw new VmcError(
        'command-failed',
        `curl ended with ${code}: ${await stderr}${body.subarray(0, 300).toString('utf8')}`,
      );
    return body;
  }

  /** Runs a script of this checkout with Node in the device's namespace; secrets on stdin. @returns its stdout. */
  async node(script: string, args: readonly string[], stdin: Uint8Array): Promise<string> {
    const [file, ...rest] = [...this.#enter, NODE, script, ...args];
    return (await run({ file: file as string, args: rest, cwd: ROOT, stdin, timeoutMs: 60_000 })).stdout;
  }

  /** Starts a script of this checkout with Node in the device's namespace, with pipes to its stdin and stdout. */
  start(script: string): ChildProcess {
    const [file, ...rest] = [...this.#enter, NODE, script];
    return spawn(file as string, rest, { cwd: ROOT, stdio: ['pipe', 'pipe', 'inherit'] });
  }

  #spawn(args: readonly string[], options: ConnectOptions): ChildProcess {
    const [file, ...rest] = this.argv(args);
    const descriptors: Record<number, Uint8Array | string> = { 3: this.#passphrase, ...options.descriptors };
    const highest = Math.max(...Object.keys(descriptors).map(Number));
    const stdio = Array.from({ length: highest + 1 }, (_, fd) => (fd === 0 ? ('ignore' as const) : ('pipe' as const)));
    const child = spawn(file as string, rest, {
      stdio,
      timeout: options.timeoutMs ?? 180_000,
      ...(options.signal === undefined ? {} : { signal: options.signal, killSignal: 'SIGTERM' as const }),
    });
    for (const [fd, bytes] of Object.entries(descriptors)) {
      const pipe = child.stdio[Number(fd)] as Writable;
      pipe.on('error', () => {}); // a command that needs no secret does not read it
      pipe.end(bytes);
    }
    return child;
  }
}

function exitOf(child: ChildProcess): Promise<number> {
  return new Promise((resolve, reject) => {
    child.once('error', (error) => (error.name === 'AbortError' ? resolve(130) : reject(error)));
    child.once('close', (code) => resolve(code ?? 1));
  });
}

/** connect prints `{"error": {...}}` on stderr with --json. */
function connectError(args: readonly string[], code: number, stderr: string): VmcError {
  const line = stderr.split('\n').find((text) => text.startsWith('{"error"'));
  if (line !== undefined) return errorFromFields((JSON.parse(line) as { error: unknown }).error);
  return new VmcError(
    'command-failed',
    `connect ${args.slice(0, 2).join(' ')} ended with ${code}: ${stderr.slice(-600)}`,
  );
}
