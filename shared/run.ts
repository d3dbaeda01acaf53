/**
 * The one way to run an external command: an argv array, never a shell; the C locale; a time limit that
 * the caller must choose; secrets by stdin only. What runs as root? `grep -rn 'run({'`.
 */
import { execa } from 'execa';
import { VmcError } from './errors.ts';
import { printable } from './printable.ts';

export { printable };

export interface Command {
  file: string;
  args: readonly string[];
  /** Milliseconds after which the command is ended (SIGTERM, then SIGKILL 5 s later). */
  timeoutMs: number;
  /** Written to stdin, which is then closed. Without it stdin is empty. */
  stdin?: string | Uint8Array;
  /** Extra environment. Never a secret. */
  env?: Readonly<Record<string, string>>;
  cwd?: string;
  /** A descriptor of ours that the command gets as its descriptor 3. */
  inherit?: number;
  /** Exit codes that are an answer, not a failure (default: only 0). */
  okExitCodes?: readonly number[];
  signal?: AbortSignal;
  /** Told of stdout as it comes. */
  onStdout?: (text: string) => void;
  /** Bytes of stdout and of stderr kept, each (default 4 MiB). More is a failure. */
  maxOutputBytes?: number;
}

export interface CommandResult {
  exitCode: number;
  stdout: string;
  stderr: string;
  durationMs: number;
}

export type CommandFailure = 'exit' | 'timeout' | 'not-found' | 'cancelled' | 'output' | 'signal';

export class CommandError extends VmcError {
  readonly reason: CommandFailure;
  readonly exitCode: number | undefined;
  readonly stderr: string;
  readonly durationMs: number;

  constructor(file: string, reason: CommandFailure, exitCode: number | undefined, stderr: string, durationMs: number) {
    const what = {
      exit: `exited with ${exitCode}`,
      timeout: 'took too long',
      'not-found': 'is not installed',
      cancelled: 'was cancelled',
      output: 'printed too much',
      signal: 'was ended by a signal',
    }[reason];
    const tail = printable(stderr).slice(-600).trim();
    super(
      reason === 'cancelled' ? 'cancelled' : reason === 'timeout' ? 'timeout' : 'command-failed',
      `${file} ${what}${tail === '' ? '' : `: ${tail}`}`,
      reason === 'not-found' ? `Install the Debian package that has ${file}.` : undefined,
    );
    this.name = 'CommandError';
    this.reason = reason;
    this.exitCode = exitCode;
    this.stderr = stderr;
    this.durationMs = durationMs;
  }
}

/** Runs a command to its end. @throws CommandError, whose message never holds the argv or stdin. */
export async function run(command: Command): Promise<CommandResult> {
  const started = performance.now();
  const child = execa(command.file, command.args, {
    reject: false,
    env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C', ...command.env },
    extendEnv: false,
    timeout: command.timeoutMs,
    forceKillAfterDelay: 5000,
    maxBuffer: command.maxOutputBytes ?? 4 * 1024 * 1024,
    stripFinalNewline: false,
    ...(command.inherit === undefined ? {} : { stdio: ['pipe', 'pipe', 'pipe', asStdio(command.inherit)] as const }),
    ...(command.cwd === undefined ? {} : { cwd: command.cwd }),
    ...(command.signal === undefined ? {} : { cancelSignal: command.signal }),
  });
  // Not by execa's `input`, which begins a stream of its own: half of what execa costs beyond starting the command.
  child.stdin.on('error', () => {}); // it ended without reading all: what it says tells
  child.stdin.end(command.stdin ?? '');
  const { onStdout } = command;
  if (onStdout !== undefined) child.stdout.on('data', (chunk: Buffer) => onStdout(chunk.toString('latin1')));
  const result = await child;
  const durationMs = performance.now() - started;
  const { exitCode } = result;
  if (exitCode !== undefined && (command.okExitCodes ?? [0]).includes(exitCode) && !result.isMaxBuffer)
    return { exitCode, stdout: result.stdout, stderr: result.stderr, durationMs };
  const reason: CommandFailure = result.isCanceled
    ? 'cancelled'
    : result.timedOut
      ? 'timeout'
      : result.isMaxBuffer
        ? 'output'
        : result.code === 'ENOENT'
          ? 'not-found'
          : exitCode === undefined
            ? 'signal'
            : 'exit';
  throw new CommandError(command.file, reason, exitCode, result.stderr ?? '', durationMs);
}

/** execa passes a descriptor on as it is; its types know that only of the first three. */
const asStdio = (fd: number) => fd as unknown as 'inherit';
