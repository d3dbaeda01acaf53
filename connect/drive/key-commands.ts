/** `connect drive key`: what opens a drive. */
import type { Command } from 'commander';
import { driveKeyMethods, type KeySlot } from '../../shared/api/drive-keys.ts';
import { table } from '../../shared/cli/program.ts';
import { VmcError } from '../../shared/errors.ts';
import { toBase64 } from '../../shared/names.ts';
import type { Drive } from '../../shared/rest-api/machines.ts';
import type { Control } from '../control.ts';
import { type ConnectIo, isTerminal, note, reply } from '../io.ts';
import { wholeNumber } from '../options.ts';
import { type Session, withSession } from '../session.ts';
import { driveName, findDrive, findOwnDrive } from './find.ts';
import { keepHeader } from './header-backup.ts';
import { callVm, insideVm } from './in-vm.ts';
import { lend, settledEnvelope, withDriveKey } from './key.ts';
import { type ChangeOptions, changeDriveKey, giveUpKeyChange, type KeyChange } from './key-change.ts';
import { openDriveKey } from './key-envelope.ts';
import { readSlotSecret, type SlotSecretOptions, slotSecretOptions } from './slot-secret.ts';

const OLD_BACKUPS =
  'Older backups of its header still open with what opened it then, and so does a copy that the host has made of the drive. What must not be read by who knows an old key: connect drive reencrypt';

export function addKeyCommands(drives: Command, io: ConnectIo): void {
  const keys = drives.command('key').description('What opens a drive: its key, and other keys and passphrases');

  keys
    .command('list')
    .description('The key slots of an attached drive')
    .argument('<drive>', 'name or id')
    .option('--json', 'answer as JSON')
    .addHelpText('after', '\nExample:\n  connect drive key list data')
    .action((wanted: string, { json }: { json?: boolean }, command: Command) =>
      withSession(io, command, async (session) => {
        const drive = await findDrive(session, wanted);
        const { driveId } = drive;
        const { slots } = await insideVm(session, drive, {}, ({ rpc }) =>
          callVm(session, rpc, driveKeyMethods.driveKeyList, { driveId }),
        );
        reply(io, json, { driveId, slots }, () => slotTable(slots));
      }),
    );

  slotSecretOptions(
    keys
      .command('check')
      .description('Which key slot the stored key opens, or another key or passphrase. Changes nothing')
      .argument('<drive>', 'name or id'),
  )
    .option('--json', 'answer as JSON')
    .addHelpText('after', '\nExample:\n  connect drive key check data\n  connect drive key check data --ask')
    .action((wanted: string, options: SlotSecretOptions & { json?: boolean }, command: Command) =>
      withSession(io, command, async (session) => {
        const drive = await findDrive(session, wanted);
        const { driveId } = drive;
        const given = await readSlotSecret(io, options, false);
        const { slot } = await insideVm(session, drive, { sendsKey: true }, ({ rpc }) => {
          const check = (unlock: NonNullable<typeof given>) =>
            callVm(session, rpc, driveKeyMethods.driveKeyCheck, { driveId, unlock });
          return given === undefined
            ? withDriveKey(session, drive, (key) => check({ key: toBase64(key) }))
            : check(given);
        });
        reply(io, options.json, { driveId, slot }, () => `${driveName(drive)}  opens slot ${slot}`);
      }),
    );

  slotSecretOptions(
    keys
      .command('add')
      .description('Let one more key or passphrase open a drive, as a way in without this device or the backend')
      .argument('<drive>', 'name or id'),
  )
    .option('--json', 'answer as JSON')
    .addHelpText(
      'after',
      '\nExample:\n  connect drive key add data --ask\n  connect drive key add data --key-fd 4 4<spare.base64',
    )
    .action((wanted: string, options: SlotSecretOptions & { json?: boolean }, command: Command) =>
      withSession(io, command, async (session) => {
        const drive = await findOwnDrive(session, wanted);
        const { driveId } = drive;
        const add = await readSlotSecret(io, options, true);
        if (add === undefined)
          throw new VmcError('bad-request', 'Say what to add: --ask, --slot-passphrase-fd or --key-fd.');
        const { slot } = await changing(session, drive, (rpc, key) =>
          callVm(session, rpc, driveKeyMethods.driveKeyAdd, { driveId, unlock: { key: toBase64(key) }, add }),
        );
        reply(io, options.json, { driveId, slot }, () => `${drive.name}  slot ${slot} added`);
      }),
    );

  keys
    .command('remove')
    .description('Empty a key slot. The slot of the stored key is never removed: change it')
    .argument('<drive>', 'name or id')
    .argument('<slot>', 'its number (connect drive key list)', wholeNumber(0, 31))
    .option('--json', 'answer as JSON')
    .addHelpText('after', '\nExample:\n  connect drive key remove data 1')
    .action((wanted: string, slot: number, { json }: { json?: boolean }, command: Command) =>
      withSession(io, command, async (session) => {
        const drive = await findOwnDrive(session, wanted);
        const { driveId } = drive;
        await changing(session, drive, (rpc, key) =>
          callVm(session, rpc, driveKeyMethods.driveKeyRemove, { driveId, unlock: { key: toBase64(key) }, slot }),
        );
        note(io, OLD_BACKUPS);
        reply(io, json, { driveId, slot, removed: true }, () => `${drive.name}  slot ${slot} removed`);
      }),
    );

  keys
    .command('change')
    .description(
      'Give a drive a new key, for you and for everybody it is shared with. Again, it finishes what was cut short',
    )
    .argument('<drive>', 'name or id')
    .option('--give-up', 'end a change that has not reached the drive yet')
    .option('--for <people>', 'with whom you have shared it, as bob,eve: they get the new key', (it) => it.split(','))
    .option('--yes', "take the backend's word for that, and for keys of people whom this device does not know yet")
    .option('--json', 'answer as JSON')
    .addHelpText('after', '\nExample:\n  connect drive key change data')
    .action((wanted: string, options: ChangeOptions & { giveUp?: boolean; json?: boolean }, command: Command) =>
      withSession(io, command, async (session) => {
        const drive = await findOwnDrive(session, wanted);
        const { driveId, name } = drive;
        if (options.giveUp === true) {
          await insideVm(session, drive, { sendsKey: true }, ({ rpc }) => giveUpKeyChange(session, rpc, drive));
          return reply(io, options.json, { driveId, givenUp: true }, () => `${name}  keeps its key`);
        }
        const change = await insideVm(session, drive, { sendsKey: true }, async ({ rpc }) => {
          const changed = await saidWhatIsLeft(drive, changeDriveKey(session, rpc, drive, options));
          await keepHeader(session, rpc, drive);
          return changed;
        });
        note(io, OLD_BACKUPS);
        reply(io, options.json, change, () => changeText(name, change));
      }),
    );

  keys
    .command('export')
    .description('Write the 32 bytes of the key to stdout, which must not be a terminal')
    .argument('<drive>', 'name or id')
    .addHelpText('after', '\nExample:\n  connect drive key export data | age -p > data.key.age')
    .action((wanted: string, _options: object, command: Command) => {
      if (isTerminal(io.stdout))
        throw new VmcError(
          'bad-request',
          'A key is not shown on a terminal.',
          'Pipe it to what keeps it: … | age -p > FILE',
        );
      return withSession(io, command, async (session) => {
        const drive = await findOwnDrive(session, wanted);
        const key = openDriveKey(session.identity, drive.driveId, settledEnvelope(drive));
        await lend(key, (bytes) => written(io, bytes));
      });
    });
}

/** With the stored key; then the header's backup is made anew. */
function changing<T>(session: Session, drive: Drive, work: (rpc: Control, key: Uint8Array) => Promise<T>): Promise<T> {
  return insideVm(session, drive, { sendsKey: true }, async ({ rpc }) => {
    const result = await withDriveKey(session, drive, (key) => work(rpc, key));
    await keepHeader(session, rpc, drive);
    return result;
  });
}

async function saidWhatIsLeft(drive: Drive, change: Promise<KeyChange>): Promise<KeyChange> {
  try {
    return await change;
  } catch (error) {
    if (!(error instanceof VmcError && ['cancelled', 'unreachable', 'timeout', 'outcome-unknown'].includes(error.code)))
      throw error;
    throw new VmcError(
      error.code,
      `${error.message} The drive opens with a key that is stored, whatever was done.`,
      `Finish it: connect drive key change ${drive.name}`,
      { cause: error },
    );
  }
}

function changeText(name: string, { slot, resumed, people }: KeyChange): string {
  const whom = people === undefined || people === 0 ? '' : `, wrapped for you and ${people} more`;
  return `${name}  has a new key in slot ${slot}${whom}${resumed ? ' (begun before, finished now)' : ''}`;
}

function slotTable(slots: readonly KeySlot[]): string {
  return table([['SLOT', 'OPENED BY'], ...slots.map((it) => [String(it.slot), it.kind])]);
}

/** Waits until the bytes have left: they are wiped right after. */
function written(io: ConnectIo, bytes: Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    io.stdout.write(bytes, (error) => (error == null ? resolve() : reject(error)));
  });
}
