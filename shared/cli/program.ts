/** What every CLI here does the same way: stdout answers, stderr explains, `--json`, exit codes, errors with a hint. */
import { Command, CommanderError } from 'commander';
import { ERROR_EXIT, publicError, VmcError } from '../errors.ts';
import { printable } from '../run.ts';

export interface Io {
  stdout: NodeJS.WritableStream;
  stderr: NodeJS.WritableStream;
}

export function makeProgram(name: string, description: string, version: string): Command {
  return new Command(name)
    .description(description)
    .version(version)
    .showHelpAfterError('(--help shows how)')
    .exitOverride()
    .addHelpText(
      'after',
      '\nExit codes: 0 done · 64 usage · 65 bad data or key · 66 not found · 68 unreachable · 69 wrong state · 70 failed · 74 no room, or not recorded · 75 busy, try again · 76 another identity, or outcome unknown: look first · 77 not allowed · 78 configuration.',
    );
}

/** Prints `value` as JSON with --json, else the lines that `text` makes of it. */
export function answer<T>(io: Io, json: boolean | undefined, value: T, text: (value: T) => string): void {
  io.stdout.write(json === true ? `${JSON.stringify(value)}\n` : withNewline(text(value)));
}

const withNewline = (text: string) => (text === '' || text.endsWith('\n') ? text : `${text}\n`);

/** Runs a program to its end. @returns the exit code; nothing is thrown and the process is not ended. */
export async function runProgram(program: Command, argv: readonly string[], io: Io): Promise<number> {
  const configure = (command: Command) => {
    command
      .exitOverride()
      .configureOutput({ writeOut: (text) => io.stdout.write(text), writeErr: (text) => io.stderr.write(text) });
    for (const sub of command.commands) configure(sub);
  };
  configure(program);
  try {
    await program.parseAsync([...argv], { from: 'user' });
    return 0;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : ERROR_EXIT['bad-request'];
    const fields = publicError(error);
    const json = argv.includes('--json');
    if (json) io.stderr.write(`${JSON.stringify({ error: fields })}\n`);
    else {
      io.stderr.write(`${program.name()}: ${printable(fields.message)}\n`);
      if (fields.hint !== undefined) io.stderr.write(`  hint: ${printable(fields.hint)}\n`);
    }
    if (!(error instanceof VmcError) && error instanceof Error && !json)
      io.stderr.write(`${error.stack ?? error.message}\n`);
    return ERROR_EXIT[fields.code];
  }
}

/** Columns of plain text. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths: number[] = [];
  for (const row of rows) for (const [i, cell] of row.entries()) widths[i] = Math.max(widths[i] ?? 0, cell.length);
  return rows
    .map((row) => row.map((cell, i) => (i === row.length - 1 ? cell : cell.padEnd(widths[i] ?? 0))).join('  '))
    .join('\n');
}

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB'] as const;

/** 1536 → '1.5 KiB'. */
export function humanBytes(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${UNITS[unit]}`;
}

/** '2GiB', '512M', '1073741824' → bytes. @throws VmcError 'bad-request'. */
export function parseBytes(text: string): number {
  const match = /^(\d+)\s*(?:(K|M|G|T)(?:iB)?|B)?$/.exec(text);
  if (match === null)
    throw new VmcError('bad-request', `${JSON.stringify(text)} is not a size.`, 'Write for example 2GiB.');
  const power = match[2] === undefined ? 0 : 'KMGT'.indexOf(match[2]) + 1;
  return Number(match[1]) * 1024 ** power;
}
