/** Drives as text and as JSON. Keys, wrapped ones too, are never part of an answer. */
import type { DriveStatus } from '../../shared/api/drive.ts';
import { humanBytes, table } from '../../shared/cli/program.ts';
import type { Drive } from '../../shared/rest-api/machines.ts';

export function shownDrive({ wrappedKey, ...drive }: Drive) {
  return { ...drive, hasKey: wrappedKey !== undefined };
}
export type ShownDrive = ReturnType<typeof shownDrive>;

const attachment = (drive: ShownDrive) =>
  drive.attachedTo === undefined ? '-' : `${drive.attachedTo}${drive.readOnly === true ? ' (read-only)' : ''}`;

export function driveTable(drives: readonly ShownDrive[]): string {
  const rows = drives.map((drive) => [
    drive.name,
    drive.driveId,
    humanBytes(drive.sizeBytes),
    drive.format,
    drive.hasKey ? 'yes' : 'no',
    attachment(drive),
  ]);
  return table([['NAME', 'ID', 'SIZE', 'FORMAT', 'KEY', 'ATTACHED TO'], ...rows]);
}

export const driveLine = (drive: ShownDrive) =>
  `${drive.name}  ${drive.driveId}  ${humanBytes(drive.sizeBytes)} ${drive.format}  ${drive.attachedTo === undefined ? 'detached' : attachment(drive)}`;

export function driveDetails(drive: ShownDrive): string {
  return table([
    ['name', drive.name],
    ['id', drive.driveId],
    ['size', `${humanBytes(drive.sizeBytes)} (${drive.sizeBytes} bytes)`],
    ['format', drive.format],
    ['host', drive.hostId],
    ['key', drive.hasKey ? 'stored, wrapped to you' : 'none yet: not formatted'],
    ['attached to', attachment(drive)],
    ['made', new Date(drive.createdAt).toISOString()],
  ]);
}

export function statusLine(name: string, status: DriveStatus): string {
  const where = status.mountPoint === undefined ? '' : ` at ${status.mountPoint}`;
  const how = [
    ...(status.fileSystem === undefined ? [] : [status.fileSystem]),
    ...(status.readOnly === true ? ['read-only'] : []),
    ...(status.freeBytes === undefined ? [] : [`${humanBytes(status.freeBytes)} free`]),
  ].join(', ');
  return `${name}  ${status.state}${where}${how === '' ? '' : `  (${how})`}`;
}
