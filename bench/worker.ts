/** A program under test in a process of its own, asked over its stdin and stdout, one JSON object a line. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { open, readFile } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import type { Writable } from 'node:stream';
import * as z from 'zod';
import { endProcess, startTimeOf } from '../lab/leftovers.ts';
import { NODE } from '../lab/programs.ts';
import { VmcError } from '../shared/errors.ts';
import { printable } from '../shared/run.ts';
import { fileIn, type Site } from './site.ts';

const answerSchema = z.union([
  z.strictObject({ id: z.int(), result: z.unknown() }),
  z.strictObject({ id: z.int(), error: z.string() }),
]);

export interface WorkerOptions {
  name: string;
  /** Absolute path of its program, which calls `serveWorker`. */
  script: string;
  /** It and all its threads stay on this core. */
  core?: number;
  /** How many files it may have open. */
  files?: number;
  nodeOptions?: readonly string[];
  /** Beside PATH and LC_ALL. */
  env?: Readonly<Record<string, string>>;
}

export interface Worker {
  readonly pid: number;
  /** @throws VmcError 'command-failed' when it fails or ends, 'timeout', 'cancelled'. */
  ask<S extends z.ZodType>(operation: string, input: unknown, answer: S): Promise<z.output<S>>;
}

/** Longer than any round: what hangs is an error, not a long wait. */
const ANSWER_MS = 300_000;

/** Starts it; it ends with the site, or when this process does, since its stdin closes then. */
export async function startWorker(site: Site, options: WorkerOptions): Promise<Worker> {
  site.signal.throwIfAborted();
  const logFile = fileIn(site, `${options.name}.log`);
  const log = await open(logFile, 'a', 0o600);
  const [file, ...args] = workerArgv(options);
  // Detached: Ctrl-C in the terminal reaches the bench alone, which then ends everything in order.
  const child = spawn(file, args, {
    stdio: ['pipe', 'pipe', log.fd],
    env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C', ...options.env },
    detached: true,
  });
  const exited = once(child, 'exit');
  try {
    await Promise.race([once(child, 'spawn'), exited]);
  } finally {
    await log.close();
  }
  const pid = child.pid as number;
  const startTime = (await startTimeOf(pid)) ?? '0';
  site.undo.add(options.name, async () => {
    await endProcess({ pid, startTime }, 5_000);
    await exited;
    await site.lab.forgetProcess(pid);
  });
  await site.lab.addProcess(pid);
  return new RunningWorker(site, options.name, child, logFile);
}

export function workerArgv({ script, core, files, nodeOptions = [] }: WorkerOptions): [string, ...string[]] {
  return withLimits([NODE, ...nodeOptions, script], { core, files });
}

/** taskset(1) and prlimit(1) in front of a command: both become that command, so its pid is the one started. */
export function withLimits(
  argv: readonly [string, ...string[]],
  { core, files }: { core?: number | undefined; files?: number | undefined },
): [string, ...string[]] {
  const pinned: [string, ...string[]] = core === undefined ? [...argv] : ['taskset', '--cpu-list', `${core}`, ...argv];
  return files === undefined ? pinned : ['prlimit', `--nofile=${files}:${files}`, ...pinned];
}

class RunningWorker implements Worker {
  readonly pid: number;
  readonly #site: Site;
  readonly #name: string;
  readonly #stdin: Writable;
  readonly #waiting = new Map<number, PromiseWithResolvers<unknown>>();
  #over: Promise<VmcError> | undefined;
  #nextId = 1;

  constructor(site: Site, name: string, child: ChildProcess, logFile: string) {
    this.#site = site;
    this.#name = name;
    this.pid = child.pid as number;
    if (child.stdin === null || child.stdout === null) throw new TypeError('it has no pipes');
    this.#stdin = child.stdin;
    child.stdin.on('error', () => undefined); // it has ended, which 'close' says too
    createInterface({ input: child.stdout }).on('line', (line) => this.#read(line));
    child.once('close', () => {
      this.#over = this.#lastWords(logFile);
      void this.#over.then((error) => this.#failAll(error));
    });
    site.signal.addEventListener('abort', () => this.#failAll(new VmcError('cancelled', 'Stopped.')), { once: true });
  }

  async ask<S extends z.ZodType>(operation: string, input: unknown, answer: S): Promise<z.output<S>> {
    this.#site.signal.throwIfAborted();
    if (this.#over !== undefined) throw await this.#over;
    const id = this.#nextId++;
    const reply = Promise.withResolvers<unknown>();
    this.#waiting.set(id, reply);
    this.#stdin.write(`${JSON.stringify({ id, operation, input })}\n`);
    const timer = setTimeout(
      () => reply.reject(new VmcError('timeout', `${this.#name} does not answer (${operation}).`)),
      ANSWER_MS,
    );
    try {
      return answer.parse(await reply.promise);
    } finally {
      clearTimeout(timer);
      this.#waiting.delete(id);
    }
  }

  #read(line: string): void {
    const answer = answerSchema.parse(JSON.parse(line));
    const reply = this.#waiting.get(answer.id);
    if ('error' in answer) reply?.reject(new VmcError('command-failed', `${this.#name}: ${answer.error}`));
    else reply?.resolve(answer.result);
  }

  #failAll(error: VmcError): void {
    for (const reply of this.#waiting.values()) reply.reject(error);
    this.#waiting.clear();
  }

  async #lastWords(logFile: string): Promise<VmcError> {
    const tail = printable((await readFile(logFile, 'utf8').catch(() => '')).slice(-2000)).trim();
    return new VmcError('command-failed', `${this.#name} ended. Its last words:\n${tail}`);
  }
}
