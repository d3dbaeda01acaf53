/** The backup of a drive's LUKS header: out of the VM page by page, sealed to its owner, and the way back. */

import type { DriveStatus } from '../../shared/api/drive.ts';
import { driveKeyMethods, HEADER_MAX_BYTES, HEADER_PAGE_BYTES } from '../../shared/api/drive-keys.ts';
import { concatBytes } from '../../shared/bytes.ts';
import { VmcError } from '../../shared/errors.ts';
import { sha256 } from '../../shared/identity/native.ts';
import { toBase64 } from '../../shared/names.ts';
import { drivePeopleRoutes } from '../../shared/rest-api/drive-people.ts';
import type { Drive } from '../../shared/rest-api/machines.ts';
import type { Control } from '../control.ts';
import { note } from '../io.ts';
import { progressLine } from '../progress.ts';
import { ask, type Session } from '../session.ts';
import { type HeaderBackup, openHeader, sealHeader } from './header-envelope.ts';
import { callVm } from './in-vm.ts';
import { withDriveKey } from './key.ts';

/** Somebody may change keys meanwhile: then it is read anew. */
const READINGS = 3;
/** Megabytes to the backend. */
const TRANSFER_MS = 300_000;

/** @returns as vmc gave it, whole. */
export async function readHeader(session: Session, rpc: Control, driveId: string): Promise<Uint8Array> {
  for (let i = 0; i < READINGS; i++) {
    const header = await readOnce(session, rpc, driveId);
    if (header !== undefined) return header;
  }
  throw new VmcError('busy', 'The header changes while it is read.', 'Is somebody changing keys? Try again.');
}

/** Undefined when it changed on the way. */
async function readOnce(session: Session, rpc: Control, driveId: string): Promise<Uint8Array | undefined> {
  const pages: Uint8Array[] = [];
  let known: { totalBytes: number; sha256: string } | undefined;
  for (let offset = 0; known === undefined || offset < known.totalBytes; ) {
    const page = await callVm(session, rpc, driveKeyMethods.driveHeaderRead, { driveId, offset });
    known ??= page;
    if (page.sha256 !== known.sha256 || page.totalBytes !== known.totalBytes) return undefined;
    if (page.data.length === 0 || offset + page.data.length > known.totalBytes)
      throw new VmcError('bad-data', 'The VM sent a header whose pages do not fit together.');
    pages.push(page.data);
    offset += page.data.length;
  }
  const header = concatBytes(...pages);
  return sha256(header).toHex() === known.sha256 ? header : undefined;
}

export async function backUpHeader(session: Session, rpc: Control, drive: Drive): Promise<Uint8Array> {
  const header = await readHeader(session, rpc, drive.driveId);
  return sealHeader(session.identity, drive.driveId, { madeAt: Date.now(), header });
}

/** @returns when the backend stored it. */
export async function storeHeader(session: Session, drive: Drive, sealed: Uint8Array): Promise<number> {
  const stored = { params: { driveId: drive.driveId }, body: { sealed: toBase64(sealed) } };
  return (await ask(session, drivePeopleRoutes.driveHeaderPut, stored, TRANSFER_MS)).storedAt;
}

/** After the header has changed. What was asked for is done: that the backup failed is said, and is no failure. */
export async function keepHeader(session: Session, rpc: Control, drive: Drive): Promise<boolean> {
  if (drive.access !== 'owner') return false;
  try {
    await storeHeader(session, drive, await backUpHeader(session, rpc, drive));
    return true;
  } catch (error) {
    if (!(error instanceof VmcError)) throw error;
    note(
      session.io,
      `There is no fresh backup of the drive's header: ${error.message}\n  Make one: connect drive header backup ${drive.name}`,
    );
    return false;
  }
}

/** Those at the backend that this person has made, newest first; and how many others it has. */
export async function storedHeaders(
  session: Session,
  drive: Drive,
): Promise<{ headers: HeaderBackup[]; refused: number }> {
  const { driveId } = drive;
  const input = { params: { driveId }, body: {} };
  const { backups } = await ask(session, drivePeopleRoutes.driveHeaderGet, input, TRANSFER_MS);
  const headers: HeaderBackup[] = [];
  for (const { sealed } of backups) {
    try {
      headers.push(openHeader(session.identity, driveId, sealed));
    } catch (error) {
      if (!(error instanceof VmcError)) throw error;
    }
  }
  // By the time that was signed: the backend may say what it likes.
  headers.sort((a, b) => b.madeAt - a.madeAt);
  return { headers, refused: backups.length - headers.length };
}

/** @throws VmcError 'wrong-key' for a header that the drive's key does not open. */
export function restoreHeader(session: Session, rpc: Control, drive: Drive, header: Uint8Array): Promise<DriveStatus> {
  const { driveId } = drive;
  if (header.length > HEADER_MAX_BYTES) throw new VmcError('bad-data', 'The header is too long.');
  const whole = { totalBytes: header.length, sha256: sha256(header).toHex() };
  return withDriveKey(session, drive, async (key) => {
    const line = progressLine(session.io);
    try {
      for (let offset = 0; offset < header.length; offset += HEADER_PAGE_BYTES) {
        line.show({ step: 'sending the header', done: offset, total: header.length, unit: 'bytes' });
        const data = toBase64(header.subarray(offset, offset + HEADER_PAGE_BYTES));
        await callVm(session, rpc, driveKeyMethods.driveHeaderStage, { driveId, offset, data, ...whole });
      }
    } finally {
      line.end();
    }
    const restore = { driveId, key: toBase64(key), sha256: whole.sha256, confirm: driveId };
    return callVm(session, rpc, driveKeyMethods.driveHeaderRestore, restore);
  });
}
