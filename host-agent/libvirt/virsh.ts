/** virsh as this agent runs it: one connection URI, libvirt's absence told apart from every other failure. virsh(1). */
import { randomBytes } from 'node:crypto';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { VmcError } from '../../shared/errors.ts';
import { makeFolder } from '../../shared/files.ts';
import { CommandError, type CommandResult, printable, run } from '../../shared/run.ts';

const TIMEOUT_MS = 60_000;
const MAX_OUTPUT_BYTES = 32 * 1024 * 1024;

export interface VirshOptions {
  timeoutMs?: number;
  signal?: AbortSignal;
}

const DOWN =
  /failed to connect to the hypervisor|Failed to connect socket|End of file while reading data|Cannot recv data/;
const ABSENT = /failed to get (domain|network)|Domain not found|Network not found/;

export class Virsh {
  readonly uri: string;
  readonly #temporary: string;

  /** @param temporary folder for XML on its way to virsh, which opens files by name and cannot read a socket. */
  constructor(uri: string, temporary: string) {
    this.uri = uri;
    this.#temporary = temporary;
  }

  /** @throws VmcError 'libvirt-down', 'not-found' (no such domain or network), CommandError for the rest. */
  async run(args: readonly string[], options: VirshOptions = {}): Promise<string> {
    const result = await this.attempt(args, options);
    if (result.exitCode === 0) return result.stdout;
    if (ABSENT.test(result.stderr)) throw new VmcError('not-found', printable(result.stderr).trim());
    throw new CommandError('virsh', 'exit', result.exitCode, result.stderr, result.durationMs);
  }

  /** Like `run`, for callers to whom exit code 1 is an answer too. @throws VmcError 'libvirt-down'. */
  async attempt(args: readonly string[], options: VirshOptions = {}): Promise<CommandResult> {
    const result = await run({
      file: 'virsh',
      args: ['--quiet', '--connect', this.uri, ...args],
      timeoutMs: options.timeoutMs ?? TIMEOUT_MS,
      okExitCodes: [0, 1],
      maxOutputBytes: MAX_OUTPUT_BYTES,
      ...(options.signal === undefined ? {} : { signal: options.signal }),
    });
    if (result.exitCode !== 0 && DOWN.test(result.stderr)) throw libvirtDown(this.uri, result.stderr);
    return result;
  }

  /** Runs a virsh command on a document, in a file that only root may read and that is gone afterwards. */
  runWithXml(xml: string, args: (path: string) => readonly string[]): Promise<string> {
    return this.runWithXmls([xml], ([path = '']) => args(path));
  }

  /** The same with several, in the order of their paths. */
  async runWithXmls(xmls: readonly string[], args: (paths: readonly string[]) => readonly string[]): Promise<string> {
    await makeFolder(this.#temporary, 0o700);
    const paths = xmls.map(() => join(this.#temporary, `${randomBytes(8).toString('hex')}.xml`));
    try {
      for (const [i, path] of paths.entries()) await writeFile(path, xmls[i] ?? '', { mode: 0o600, flag: 'wx' });
      return await this.run(args(paths));
    } finally {
      for (const path of paths) await rm(path, { force: true });
    }
  }
}

function libvirtDown(uri: string, stderr: string): VmcError {
  const why = printable(stderr)
    .split('\n')
    .findLast((line) => line.startsWith('error: '))
    ?.slice('error: '.length);
  return new VmcError(
    'libvirt-down',
    `libvirt does not answer at ${uri}${why === undefined ? '' : `: ${why}`}. Nothing was changed.`,
    'Start it with `systemctl start libvirtd`, then try again; `host-agent doctor` checks the rest.',
  );
}
