/** `vmc drive …`: drives by hand, as root in the VM. The key comes by a file descriptor. */
import type { Command } from 'commander';
import { type DriveStatus, driveKeySchema, fileSystemSchema } from '../shared/api/drive.ts';
import { wipe } from '../shared/bytes.ts';
import { answer, humanBytes, table } from '../shared/cli/program.ts';
import { readSecretFd } from '../shared/cli/secret.ts';
import { VmcError } from '../shared/errors.ts';
import { driveIdSchema, nameSchema } from '../shared/names.ts';
import { describeIssues } from '../shared/validate.ts';
import type { CliDeps, CommonOptions } from './cli.ts';
import { withCommon } from './cli.ts';
import { loadConfig } from './config.ts';
import type { Drives } from './drives/drives.ts';

type WithKey = CommonOptions & { keyFd: string };

/** At the console Ctrl-C ends the process. */
const UNSTOPPED = { signal: new AbortController().signal };

export function addDriveCommands(program: Command, deps: CliDeps): void {
  const drive = program.command('drive').description('drives of this VM, by hand');
  const show = (json: true | undefined, status: DriveStatus) => answer(deps, json, status, (it) => table([rowOf(it)]));

  withCommon(drive.command('list').description('every attached drive and its state')).action(
    async ({ config, json }: CommonOptions) => {
      const drives = await (await open(config, deps)).list();
      answer(deps, json, { drives }, () =>
        drives.length === 0 ? 'No drive is attached.' : table([HEADINGS, ...drives.map(rowOf)]),
      );
    },
  );
  withCommon(drive.command('format <id>').description('put LUKS2 and an empty file system on a blank drive'))
    .requiredOption('--key-fd <n>', KEY_HELP)
    .option('--file-system <kind>', 'ext4 or xfs', 'ext4')
    .option('--overwrite <id>', 'the id once more, to overwrite a drive that holds data')
    .action(async (id: string, options: WithKey & { fileSystem: string; overwrite?: string }) => {
      const fileSystem = valid(fileSystemSchema.safeParse(options.fileSystem), '--file-system');
      const request = { driveId: driveId(id), key: readKey(options.keyFd), fileSystem, overwrite: options.overwrite };
      const status = await (await open(options.config, deps)).format(request, {
        ...UNSTOPPED,
        progress: ({ step }) => deps.stderr.write(`${step}\n`),
      });
      show(options.json, status);
    });
  withCommon(drive.command('open <id> <name>').description('unlock a drive and mount it under its name'))
    .requiredOption('--key-fd <n>', KEY_HELP)
    .option('--read-only', 'write nothing to it', false)
    .action(async (id: string, name: string, options: WithKey & { readOnly: boolean }) => {
      const request = { driveId: driveId(id), name: valid(nameSchema.safeParse(name), 'the name') };
      const { readOnly } = options;
      show(
        options.json,
        await (await open(options.config, deps)).open({ ...request, key: readKey(options.keyFd), readOnly }, UNSTOPPED),
      );
    });
  withCommon(drive.command('close <id>').description('unmount a drive and lock it')).action(
    async (id: string, { config, json }: CommonOptions) =>
      show(json, await (await open(config, deps)).close(driveId(id), UNSTOPPED)),
  );
  withCommon(drive.command('trim <id>').description('give unused blocks back to the host')).action(
    async (id: string, { config, json }: CommonOptions) => {
      const trimmedBytes = await (await open(config, deps)).trim(driveId(id), UNSTOPPED);
      answer(deps, json, { trimmedBytes }, () => `${humanBytes(trimmedBytes)} trimmed`);
    },
  );
}

const KEY_HELP = 'file descriptor with the key: 32 bytes in base64';
const HEADINGS = ['drive', 'state', 'size', 'free', 'file system', 'where'];

const rowOf = (it: DriveStatus): string[] => [
  it.driveId,
  it.state,
  it.sizeBytes === undefined ? '' : humanBytes(it.sizeBytes),
  it.freeBytes === undefined ? '' : humanBytes(it.freeBytes),
  it.fileSystem ?? '',
  `${it.mountPoint ?? ''}${it.readOnly === true ? ' (read-only)' : ''}`,
];

async function open(config: string, deps: CliDeps): Promise<Drives> {
  const { drives } = await loadConfig(config);
  const { Drives } = await import('./drives/drives.ts');
  const { drivesGid } = await import('./accounts/drives-group.ts');
  return new Drives({
    mountRoot: drives.mountRoot,
    peopleGid: drivesGid,
    onUndoFailed: (what) => deps.stderr.write(`vmc: this could not be undone: ${what}\n`),
  });
}

const driveId = (text: string): string => valid(driveIdSchema.safeParse(text), 'the drive');

function readKey(fdText: string): Uint8Array {
  if (!/^\d{1,4}$/.test(fdText)) throw new VmcError('bad-request', '--key-fd takes the number of a file descriptor.');
  const text = readSecretFd(Number(fdText), 'The key');
  try {
    return valid(driveKeySchema.safeParse(new TextDecoder().decode(text)), 'the key');
  } finally {
    wipe(text);
  }
}

function valid<T>(
  parsed: { success: true; data: T } | { success: false; error: Parameters<typeof describeIssues>[0] },
  what: string,
): T {
  if (parsed.success) return parsed.data;
  throw new VmcError('bad-request', `${what}: ${describeIssues(parsed.error)}.`);
}
