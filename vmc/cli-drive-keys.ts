/** `vmc drive key|header|reencrypt …`: keys of drives by hand, as root in the VM. Secrets come by file descriptors. */
import { readFile, stat, writeFile } from 'node:fs/promises';
import type { Command } from 'commander';
import type { DriveStatus } from '../shared/api/drive.ts';
import { HEADER_MAX_BYTES } from '../shared/api/drive-keys.ts';
import { answer, humanBytes, table } from '../shared/cli/program.ts';
import { VmcError } from '../shared/errors.ts';
import type { CallContext } from '../shared/rpc/method.ts';
import type { CliDeps, CommonOptions } from './cli.ts';
import { withCommon } from './cli.ts';
import { driveId, KEY_HELP, PASSPHRASE_HELP, readKey, readUnlock, type UnlockOptions } from './cli-drive-values.ts';
import type { Drives } from './drives/drives.ts';

export interface DriveKeyCli {
  open: (config: string) => Promise<Drives>;
  progress: CallContext['progress'];
  show: (json: true | undefined, status: DriveStatus) => void;
}

const withUnlock = (command: Command) =>
  withCommon(command).option('--key-fd <n>', KEY_HELP).option('--passphrase-fd <n>', PASSPHRASE_HELP);

export function addDriveKeyCommands(drive: Command, deps: CliDeps, cli: DriveKeyCli): void {
  addSlotCommands(drive.command('key').description('key slots of a drive'), deps, cli);
  addHeaderCommands(drive.command('header').description('the LUKS header of a drive'), deps, cli);
  withCommon(
    drive.command('reencrypt <id>').description('encrypt a drive anew; Ctrl-C stops it, asked again it goes on'),
  )
    .requiredOption('--key-fd <n>', KEY_HELP)
    .action(async (id: string, { config, json, keyFd }: CommonOptions & { keyFd: string }) => {
      const drives = await cli.open(config);
      const state = await drives.keys.reencrypt(driveId(id), readKey(keyFd), {
        signal: deps.untilInterrupted?.() ?? new AbortController().signal,
        progress: cli.progress,
      });
      const status = await drives.status(driveId(id));
      answer(deps, json, { state, status }, () => (state === 'done' ? 're-encrypted' : stoppedText(status)));
    });
}

const stoppedText = ({ reencryption: it }: DriveStatus) =>
  it === undefined
    ? 'stopped before it began: nothing was changed, the same command begins it'
    : `stopped at ${humanBytes(it.doneBytes)} of ${humanBytes(it.totalBytes)}: the same command goes on`;

function addSlotCommands(key: Command, deps: CliDeps, cli: DriveKeyCli): void {
  const context = { signal: new AbortController().signal };
  withCommon(key.command('list <id>').description('what opens a drive')).action(
    async (id: string, { config, json }: CommonOptions) => {
      const slots = await (await cli.open(config)).keys.list(driveId(id), context);
      answer(deps, json, { slots }, () =>
        table([['slot', 'opens with'], ...slots.map((it) => [`${it.slot}`, it.kind])]),
      );
    },
  );
  withUnlock(key.command('check <id>').description('which slot a key or passphrase opens')).action(
    async (id: string, options: CommonOptions & UnlockOptions) => {
      const { keys } = await cli.open(options.config);
      const slot = await keys.check(driveId(id), readUnlock(options), context);
      answer(deps, options.json, { slot }, () => `slot ${slot}`);
    },
  );
  withUnlock(key.command('add <id>').description('let one more key or passphrase open a drive'))
    .option('--new-key-fd <n>', 'file descriptor with the key to add')
    .option('--new-passphrase-fd <n>', 'file descriptor with the passphrase to add')
    .action(
      async (id: string, options: CommonOptions & UnlockOptions & { newKeyFd?: string; newPassphraseFd?: string }) => {
        const { newKeyFd, newPassphraseFd } = options;
        const given = {
          ...(newKeyFd === undefined ? {} : { keyFd: newKeyFd }),
          ...(newPassphraseFd === undefined ? {} : { passphraseFd: newPassphraseFd }),
        };
        const { keys } = await cli.open(options.config);
        const secrets = { unlock: readUnlock(options), add: readUnlock(given, '--new-') };
        const slot = await keys.add(driveId(id), secrets, context);
        answer(deps, options.json, { slot }, () => `slot ${slot}`);
      },
    );
  withUnlock(
    key.command('remove <id> <slot>').description('empty a slot; the key that is given must open another'),
  ).action(async (id: string, slotText: string, options: CommonOptions & UnlockOptions) => {
    if (!/^\d{1,2}$/.test(slotText)) throw new VmcError('bad-request', 'A slot is a number from 0 to 31.');
    const { keys } = await cli.open(options.config);
    await keys.remove(driveId(id), { unlock: readUnlock(options), slot: Number(slotText) }, context);
    answer(deps, options.json, {}, () => 'removed');
  });
}

function addHeaderCommands(header: Command, deps: CliDeps, cli: DriveKeyCli): void {
  const context = { signal: new AbortController().signal };
  withCommon(header.command('backup <id>').description('write the header to a file; without a key it opens nothing'))
    .requiredOption('--file <file>', 'a new file')
    .action(async (id: string, { config, json, file }: CommonOptions & { file: string }) => {
      const packed = await (await cli.open(config)).keys.backupHeader(driveId(id), context);
      await writeFile(file, packed, { mode: 0o600, flag: 'wx' });
      answer(deps, json, { file, bytes: packed.length }, () => `${file}: ${humanBytes(packed.length)}`);
    });
  withCommon(header.command('restore <id>').description('put a header back on a closed drive, if it fits key and data'))
    .requiredOption('--file <file>', 'what backup wrote')
    .requiredOption('--key-fd <n>', KEY_HELP)
    .requiredOption('--confirm <id>', 'the id once more')
    .action(async (id: string, options: CommonOptions & { file: string; keyFd: string; confirm: string }) => {
      const { size } = await stat(options.file);
      if (size > HEADER_MAX_BYTES) throw new VmcError('bad-data', `${options.file} is no backup of a header.`);
      const packed = await readFile(options.file);
      const drives = await cli.open(options.config);
      const request = { driveId: driveId(id), key: readKey(options.keyFd), confirm: options.confirm };
      await drives.keys.restoreHeader(request, () => packed, context);
      cli.show(options.json, await drives.status(driveId(id)));
    });
}
