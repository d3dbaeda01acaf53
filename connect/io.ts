/** What connect gets from outside: streams, the way to stop it, secrets by descriptor. Tests pass their own. */
import { VmcError } from '../shared/errors.ts';
import { printable } from '../shared/run.ts';

export interface ConnectIo {
  stdout: NodeJS.WritableStream;
  stderr: NodeJS.WritableStream;
  /** Asked for only when there is a question: a descriptor that was never touched stays as it was. */
  stdin(): NodeJS.ReadStream;
  /** Ctrl-C: aborts with a VmcError 'cancelled' as its reason. */
  signal: AbortSignal;
  /** Everything up to the end of a descriptor, less one final newline. @throws VmcError 'bad-request'. */
  readFd(fd: number, what: string): Uint8Array;
  /** Where a person's files are unless --dir says otherwise. */
  defaultFolder: string;
  /** A folder for sockets and files that last as long as a command: the person's own, or /tmp. */
  runtimeFolder: string;
  /**
   * Runs a program with this terminal as its own: streams, and Ctrl-C, which then does not stop connect.
   * @param signal ends it. @returns its exit code. @throws VmcError 'command-failed' when there is none such.
   */
  runHere(file: string, args: readonly string[], signal: AbortSignal): Promise<number>;
}

export const CANCELLED = () => new VmcError('cancelled', 'Cancelled.');

export const isTerminal = (stream: NodeJS.WritableStream): boolean => (stream as { isTTY?: boolean }).isTTY === true;

/** The answer of a command: one JSON object with --json, else text. What came from others cannot steer the terminal. */
export function reply<T>(io: ConnectIo, json: boolean | undefined, value: T, text: (value: T) => string): void {
  if (json === true) io.stdout.write(`${JSON.stringify(value)}\n`);
  else {
    const lines = printable(text(value));
    io.stdout.write(lines === '' || lines.endsWith('\n') ? lines : `${lines}\n`);
  }
}

/** A line for a person, beside the answer. */
export function note(io: ConnectIo, text: string): void {
  io.stderr.write(`${printable(text)}\n`);
}
