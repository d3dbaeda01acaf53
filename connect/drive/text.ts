/** Drives as text and as JSON. Keys, wrapped ones too, are never part of an answer. */
import type { DriveStatus } from '../../shared/api/drive.ts';
import { humanBytes, table } from '../../shared/cli/program.ts';
import type { DrivePerson } from '../../shared/rest-api/drive-people.ts';
import type { Drive } from '../../shared/rest-api/machines.ts';
import { attachmentsOf, driveName } from './find.ts';

export function shownDrive({ wrappedKey, nextWrappedKey, restored, ...drive }: Drive) {
  return {
    ...drive,
    hasKey: wrappedKey !== undefined || (restored?.wrappedKeys.length ?? 0) > 0,
    ...(nextWrappedKey === undefined ? {} : { keyChangeOpen: true }),
    ...(restored === undefined ? {} : { restoredFrom: restored.driveId }),
  };
}
export type ShownDrive = ReturnType<typeof shownDrive>;

/** What one VM says of a drive. */
export interface InVm {
  vmId: string;
  vm?: string;
  status?: DriveStatus;
  problem?: string;
}

export type DriveInfo = SharedDrive & {
  allocatedBytes?: number;
  problem?: string;
  inside: readonly InVm[];
};

function attachment(drive: ShownDrive): string {
  const all = attachmentsOf(drive).map(({ vmId, readOnly }) => `${vmId}${readOnly ? ' (read-only)' : ''}`);
  return all.length === 0 ? '-' : all.join(', ');
}

export function driveTable(drives: readonly ShownDrive[]): string {
  const rows = drives.map((drive) => [
    driveName(drive),
    drive.driveId,
    humanBytes(drive.sizeBytes),
    drive.format,
    drive.hasKey ? 'yes' : 'no',
    drive.state === 'made' ? attachment(drive) : drive.state,
  ]);
  return table([['NAME', 'ID', 'SIZE', 'FORMAT', 'KEY', 'ATTACHED TO'], ...rows]);
}

export function driveLine(drive: ShownDrive): string {
  const where = attachmentsOf(drive).length === 0 ? 'detached' : attachment(drive);
  return `${driveName(drive)}  ${drive.driveId}  ${humanBytes(drive.sizeBytes)} ${drive.format}  ${drive.state === 'made' ? where : drive.state}`;
}

const ACCESS = { owner: 'you', rw: 'may read and write', ro: 'may read' } as const;

function keyText(drive: ShownDrive): string {
  if (!drive.hasKey) return 'none yet: not formatted';
  if (drive.keyChangeOpen === true)
    return `is being changed: connect drive key change ${driveName(drive)} finishes that`;
  return 'stored, wrapped to you';
}

function details(drive: ShownDrive): string[][] {
  return [
    ['name', driveName(drive)],
    ['id', drive.driveId],
    ...(drive.access === 'owner' ? [] : [['owner', `${drive.ownerName ?? '?'}; you ${ACCESS[drive.access]}`]]),
    ...(drive.state === 'made' ? [] : [['state', drive.state]]),
    ['size', `${humanBytes(drive.sizeBytes)} (${drive.sizeBytes} bytes)`],
    ['format', drive.format],
    ['host', drive.hostId],
    ['key', keyText(drive)],
    ...(drive.restoredFrom === undefined ? [] : [['restored from', drive.restoredFrom]]),
    ['attached to', attachment(drive)],
    ['made', new Date(drive.createdAt).toISOString()],
  ];
}

type SharedDrive = ShownDrive & { people?: readonly DrivePerson[] };

export const driveDetails = (drive: SharedDrive): string => table([...details(drive), ...sharing(drive)]);

function sharing({ people }: SharedDrive): string[][] {
  if (people === undefined) return [];
  const text = people.map(({ name, access }) => `${name} (${access})`).join(', ');
  return [['shared with', text === '' ? 'nobody' : text]];
}

export function infoText(info: DriveInfo): string {
  return table([
    ...details(info),
    [
      'on the host',
      info.allocatedBytes === undefined ? (info.problem ?? '-') : `${humanBytes(info.allocatedBytes)} taken`,
    ],
    ...sharing(info),
    ...info.inside.map((it) => [
      `in ${it.vm ?? it.vmId}`,
      it.status === undefined ? (it.problem ?? '-') : statusText(it.status),
    ]),
  ]);
}

function statusText(status: DriveStatus): string {
  const where = status.mountPoint === undefined ? '' : ` at ${status.mountPoint}`;
  if (status.problem !== undefined)
    return status.state === 'foreign'
      ? `cannot be looked at: ${status.problem}`
      : `${status.state}${where}: ${status.problem}`;
  const how = [
    ...(status.fileSystem === undefined ? [] : [status.fileSystem]),
    ...(status.readOnly === true ? ['read-only'] : []),
    ...(status.freeBytes === undefined ? [] : [`${humanBytes(status.freeBytes)} free`]),
    ...(status.weeklyTrim === false ? ['not trimmed weekly'] : []),
    ...(status.reencryption === undefined ? [] : [reencryptionText(status.reencryption)]),
    ...(status.frozenUntil === undefined ? [] : ['frozen for a snapshot']),
    ...(status.unfinished === true ? ['formatting it was cut short: format it again'] : []),
  ].join(', ');
  return `${status.state}${where}${how === '' ? '' : `  (${how})`}`;
}

const reencryptionText = ({ doneBytes, totalBytes }: NonNullable<DriveStatus['reencryption']>) =>
  `${humanBytes(doneBytes)} of ${humanBytes(totalBytes)} encrypted anew: connect drive reencrypt goes on`;

/** With what was found when it was opened. */
export function statusLine(name: string, status: DriveStatus): string {
  const { check } = status;
  const line = `${name}  ${statusText(status)}`;
  if (check === undefined) return line;
  const found = check.repaired ? 'repaired the file system' : 'found nothing to repair';
  return [`${line}`, `It was not left in order. ${check.tool} ${found}:`, ...check.said.map((it) => `  ${it}`)].join(
    '\n',
  );
}

export function peopleTable(people: readonly DrivePerson[]): string {
  if (people.length === 0) return 'It is shared with nobody.';
  const rows = people.map((it) => [it.name, it.access, new Date(it.since).toISOString()]);
  return table([['PERSON', 'ACCESS', 'SINCE'], ...rows]);
}
