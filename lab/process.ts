/** A program in the background, inside a namespace, its output in a log file that can be waited on. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { constants, watch } from 'node:fs';
import { open, readFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { VmcError } from '../shared/errors.ts';
import { printable } from '../shared/run.ts';
import { endProcess, type Lab, type ProcessId, startTimeOf } from './leftovers.ts';

export interface StartOptions {
  lab: Lab;
  /** For messages: "backend". */
  name: string;
  /** Program and arguments, say from `inNamespace`. */
  argv: readonly [string, ...string[]];
  /** stdout and stderr, appended. Mode 0600. */
  logFile: string;
  /** The whole environment besides PATH. Never a secret. */
  env?: Readonly<Record<string, string>>;
  cwd?: string;
  /** Called once when it ends without having been asked to. */
  onUnexpectedExit?: (error: VmcError) => void;
}

export interface LabProcess {
  readonly pid: number;
  /** True until it has ended. */
  readonly running: boolean;
  /**
   * The first match of `pattern` (without the g flag) in a line of the log, old lines too.
   * @throws VmcError `timeout`, or `command-failed` with the log's end when the program ends first.
   */
  waitForLine(pattern: RegExp, deadlineMs: number): Promise<RegExpExecArray>;
  /** SIGTERM, then SIGKILL when it is still there after `graceMs` (default 10 s). Doing it twice is fine. */
  stop(graceMs?: number): Promise<void>;
  /** Resolves when it has ended, with what the kernel said. */
  readonly ended: Promise<string>;
}

const TAIL_BYTES = 2000;

export async function startProcess(options: StartOptions): Promise<LabProcess> {
  const { lab, name, argv, logFile } = options;
  const log = await open(logFile, constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT, 0o600);
  const from = (await log.stat()).size;
  const [file, ...args] = argv;
  let child: ChildProcess;
  let exited: Promise<[number | null, NodeJS.Signals | null]>;
  try {
    // Detached: Ctrl-C in the terminal reaches the demo alone, which then stops everything in order. The log is the
    // program's own file, not a pipe through this process, so it can go on when this process ends (`--keep`).
    child = spawn(file, args, {
      stdio: ['ignore', log.fd, log.fd],
      env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C', ...options.env },
      detached: true,
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    });
    // Listening starts before anything is awaited: a program may have ended by the time its log is closed.
    exited = once(child, 'exit') as typeof exited;
    exited.catch(() => undefined); // 'error', which the next line throws
    await once(child, 'spawn');
  } catch (error) {
    throw new VmcError('command-failed', `${name} does not start`, `Is ${file} installed?`, { cause: error });
  } finally {
    await log.close();
  }
  const pid = child.pid as number;
  let stopping = false;
  let running = true;
  const startTime = (await startTimeOf(pid)) ?? '0';
  await lab.addProcess(pid);
  const ended = exited.then(async ([code, signal]) => {
    running = false;
    const how = signal === null ? `exit code ${code}` : `signal ${signal}`;
    await lab.forgetProcess(pid);
    if (!stopping) options.onUnexpectedExit?.(await endedError(name, how, logFile, from));
    return how;
  });
  child.unref();
  const id: ProcessId = { pid, startTime };
  return {
    pid,
    ended,
    get running() {
      return running;
    },
    async stop(graceMs = 10_000) {
      stopping = true;
      child.ref();
      if (running) await endProcess(id, graceMs);
      await ended;
    },
    waitForLine: (pattern, deadlineMs) => waitForLine({ name, logFile, from, ended }, pattern, deadlineMs),
  };
}

async function endedError(name: string, how: string, logFile: string, from: number): Promise<VmcError> {
  const tail = printable((await readFrom(logFile, from)).slice(-TAIL_BYTES)).trim();
  return new VmcError(
    'command-failed',
    `${name} ended (${how}). Its last words:\n${tail}`,
    `The whole log: ${logFile}`,
  );
}

async function readFrom(path: string, from: number): Promise<string> {
  return (await readFile(path)).subarray(from).toString('utf8');
}

interface Followed {
  name: string;
  logFile: string;
  from: number;
  ended: Promise<string>;
}

async function waitForLine(followed: Followed, pattern: RegExp, deadlineMs: number): Promise<RegExpExecArray> {
  const { name, logFile, from } = followed;
  const stop = new AbortController();
  const watcher = watch(logFile, { persistent: true });
  const deadline = delay(deadlineMs, 'deadline' as const, { signal: stop.signal }).catch(() => 'deadline' as const);
  const gone = followed.ended.then((how) => ({ how }));
  try {
    for (;;) {
      // Listening starts before reading, so that a line written in between is not missed.
      const changed = once(watcher, 'change', { signal: stop.signal }).then(() => 'changed' as const);
      changed.catch(() => undefined); // aborted below
      const text = await readFrom(logFile, from);
      for (const line of text.split('\n')) {
        const match = pattern.exec(line);
        if (match !== null) return match;
      }
      const next = await Promise.race([changed, deadline, gone]);
      if (next === 'deadline')
        throw new VmcError('timeout', `${name} did not say ${pattern} within ${deadlineMs} ms`, `Its log: ${logFile}`);
      if (next !== 'changed') {
        // Its last lines may have come after the read above.
        const last = (await readFrom(logFile, from)).split('\n').map((line) => pattern.exec(line));
        const match = last.find((found) => found !== null);
        if (match !== undefined && match !== null) return match;
        throw await endedError(name, next.how, logFile, from);
      }
    }
  } finally {
    stop.abort();
    watcher.close();
  }
}
