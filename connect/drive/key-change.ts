/**
 * A new key for a drive. At each moment the backend holds an envelope that opens the drive, and what was cut short at any
 * step is finished by doing it again:
 *
 *   1  stage     the next key, wrapped for everybody, lies beside the present one
 *   2  add       the VM lets the next key open the drive too
 *   3  check     and shows that it does
 *   4  remove    the present key opens it no more; the backend still has both
 *   5  commit    the next key is the present one
 *
 * A next key is bound to the present one by its envelope, so that the backend cannot have an older key added again.
 */
import { driveKeyMethods } from '../../shared/api/drive-keys.ts';
import { equalBytes, wipe } from '../../shared/bytes.ts';
import { VmcError } from '../../shared/errors.ts';
import { toBase64 } from '../../shared/names.ts';
import type { User } from '../../shared/rest-api/accounts.ts';
import { type DrivePerson, drivePeopleRoutes } from '../../shared/rest-api/drive-people.ts';
import type { Drive } from '../../shared/rest-api/machines.ts';
import { askYes } from '../confirm.ts';
import type { Control } from '../control.ts';
import { note } from '../io.ts';
import { ask, type Session } from '../session.ts';
import { findAccount, type TrustOptions } from '../vm/person.ts';
import { getDrive } from './find.ts';
import { callVm } from './in-vm.ts';
import { isWrongKey, lend, newDriveKey } from './key.ts';
import { openDriveKey, openNextDriveKey, sealNextDriveKey, sealSharedDriveKey } from './key-envelope.ts';

const MAX_SLOTS = 32;

export interface ChangeOptions extends TrustOptions {
  /** With whom the drive is shared, as its owner knows. */
  for?: string[];
}

export interface KeyChange {
  driveId: string;
  /** Of the new key. */
  slot: number;
  /** A change was finished that had been begun before. */
  resumed: boolean;
  /** For how many people besides the owner the new key was wrapped; undefined when that was done before. */
  people: number | undefined;
}

/** @throws VmcError 'wrong-key' when neither the present nor the next key opens the drive. */
export async function changeDriveKey(
  session: Session,
  rpc: Control,
  before: Drive,
  trust: ChangeOptions,
): Promise<KeyChange> {
  const { driveId } = before;
  const resumed = before.nextWrappedKey !== undefined;
  const staged = resumed ? { drive: before, people: undefined } : await stage(session, rpc, before, trust);
  const { present, next, nextEnvelope } = bothKeys(session, staged.drive);
  try {
    const presentSlot = await slotOf(session, rpc, driveId, present);
    let slot = await slotOf(session, rpc, driveId, next);
    if (slot === undefined) {
      if (presentSlot === undefined) throw noneFits(staged.drive);
      const add = { driveId, unlock: { key: toBase64(present) }, add: { key: toBase64(next) } };
      await callVm(session, rpc, driveKeyMethods.driveKeyAdd, add);
      slot = await slotOf(session, rpc, driveId, next);
      if (slot === undefined)
        throw new VmcError('bad-data', 'The VM added the new key, but the drive does not open with it.');
    }
    if (!(await isStaged(session, driveId, nextEnvelope))) throw await takenBack(session, rpc, driveId, next, present);
    await removeEverywhere(session, rpc, driveId, present, next);
    await commit(session, rpc, driveId, { present, next, nextEnvelope });
    return { driveId, slot, resumed, people: staged.people };
  } finally {
    wipe(present);
    wipe(next);
  }
}

/** Ends a change that has not reached the drive. @throws VmcError 'wrong-state' when the drive opens with the next key. */
export async function giveUpKeyChange(session: Session, rpc: Control, drive: Drive): Promise<void> {
  const { driveId, nextWrappedKey } = drive;
  if (nextWrappedKey === undefined) throw new VmcError('wrong-state', `No change of the key of ${drive.name} is open.`);
  const next = openedNext(session, drive);
  const slot = next && (await lend(next, (key) => slotOf(session, rpc, driveId, key)));
  if (slot !== undefined)
    throw new VmcError(
      'wrong-state',
      `The drive ${drive.name} opens with its next key already. Nothing was changed.`,
      `Finish it: connect drive key change ${drive.name}`,
    );
  const body = { wrappedKey: toBase64(nextWrappedKey) };
  await ask(session, drivePeopleRoutes.driveKeyForget, { params: { driveId }, body });
}

/** Undefined for one that was not made here to follow the present key: the drive cannot have it. */
function openedNext(session: Session, { driveId, wrappedKey, nextWrappedKey }: Drive): Uint8Array | undefined {
  if (wrappedKey === undefined || nextWrappedKey === undefined) return undefined;
  try {
    return openNextDriveKey(session.identity, driveId, wrappedKey, nextWrappedKey);
  } catch (error) {
    if (error instanceof VmcError && error.code === 'bad-data') return undefined;
    throw error;
  }
}

interface Staged {
  drive: Drive;
  people: number | undefined;
}

async function stage(session: Session, rpc: Control, drive: Drive, trust: ChangeOptions): Promise<Staged> {
  const { driveId, wrappedKey: present } = drive;
  const { identity, user } = session;
  if (present === undefined)
    throw new VmcError('wrong-state', `The drive ${drive.name} has no key yet.`, `connect drive format ${drive.name}`);
  // Before anybody is told of a next key.
  const fits = await lend(openDriveKey(identity, driveId, present), (key) => slotOf(session, rpc, driveId, key));
  if (fits === undefined) throw noneFits(drive);
  const { people } = await ask(session, drivePeopleRoutes.drivePeople, { params: { driveId }, body: {} });
  await confirmPeople(session, drive, people, trust);
  const recipients: User[] = [];
  for (const person of people) recipients.push(await accountOf(session, person, trust));
  const keys = await lend(newDriveKey(), async (key) => [
    { userId: user.userId, wrappedKey: toBase64(sealNextDriveKey(identity, driveId, present, key)) },
    ...recipients.map((who) => ({
      userId: who.userId,
      wrappedKey: toBase64(sealSharedDriveKey(identity, who.identity, driveId, key)),
    })),
  ]);
  try {
    await ask(session, drivePeopleRoutes.driveKeyStage, { params: { driveId }, body: { keys } });
  } catch (error) {
    // Another device of the same person was first: its key is the next one.
    if (!(error instanceof VmcError && ['busy', 'already-exists', 'wrong-state'].includes(error.code))) throw error;
    const now = await getDrive(session, driveId);
    if (now.nextWrappedKey === undefined) throw error;
    return { drive: now, people: undefined };
  }
  return { drive: await getDrive(session, driveId), people: recipients.length };
}

/** Of the name that was confirmed: under it the backend could otherwise lead to somebody else whom this device knows. */
async function accountOf(session: Session, { userId, name }: DrivePerson, trust: TrustOptions): Promise<User> {
  const account = await findAccount(session, userId, trust);
  if (account.userId === userId && account.name === name) return account;
  throw new VmcError('bad-data', `The backend contradicts itself on who ${name} is. Nothing was changed.`);
}

/** The backend says with whom the drive is shared. It could name one more, who would get the new key. */
async function confirmPeople(
  { io }: Session,
  { name }: Drive,
  people: readonly DrivePerson[],
  { for: named, yes }: ChangeOptions,
): Promise<void> {
  const names = people.map((it) => it.name).sort();
  if (names.length === 0 && named === undefined) return;
  if (named !== undefined) {
    if (named.toSorted().join() === names.join()) return;
    throw new VmcError(
      'forbidden',
      `The backend says that ${name} is shared with ${names.join(', ') || 'nobody'}, not with those whom --for names. Nothing was changed.`,
      `If it names somebody with whom you have not shared it: connect drive unshare ${name} PERSON, and tell an administrator.`,
    );
  }
  note(io, `The new key of ${name} will be wrapped for you and: ${names.join(', ')}`);
  if (yes === true) return;
  const confirmed = await askYes(io, 'Have you shared it with them, and with nobody else?');
  if (confirmed === undefined)
    throw new VmcError(
      'bad-request',
      `It was not confirmed with whom ${name} is shared. Nothing was changed.`,
      `--for ${names.join(',')} (or --yes to take the backend's word)`,
    );
  if (!confirmed) throw new VmcError('cancelled', 'Nothing was changed.', `connect drive unshare ${name} PERSON`);
}

function bothKeys(session: Session, drive: Drive) {
  const { driveId, wrappedKey, nextWrappedKey } = drive;
  if (wrappedKey === undefined || nextWrappedKey === undefined)
    throw new VmcError(
      'bad-data',
      'The backend has lost the next key again. Nothing was changed.',
      'Repeat the command.',
    );
  const next = openedNext(session, drive);
  if (next === undefined)
    throw new VmcError(
      'bad-data',
      `The next key that the backend holds for ${drive.name} was not made by you to follow the present one. It is not used.`,
      `Somebody may have planted it; tell an administrator. To remove it: connect drive key change ${drive.name} --give-up`,
    );
  return { present: openDriveKey(session.identity, driveId, wrappedKey), next, nextEnvelope: nextWrappedKey };
}

/** Undefined when it opens none. */
async function slotOf(session: Session, rpc: Control, driveId: string, key: Uint8Array): Promise<number | undefined> {
  try {
    const params = { driveId, unlock: { key: toBase64(key) } };
    return (await callVm(session, rpc, driveKeyMethods.driveKeyCheck, params)).slot;
  } catch (error) {
    if (isWrongKey(error)) return undefined;
    throw error;
  }
}

/** The old key goes only while the backend has the new one: another device may have given the change up. */
async function isStaged(session: Session, driveId: string, envelope: Uint8Array): Promise<boolean> {
  const { wrappedKey, nextWrappedKey } = await getDrive(session, driveId);
  return [wrappedKey, nextWrappedKey].some((it) => it !== undefined && equalBytes(it, envelope));
}

/** Nobody will have the new key. */
async function takenBack(session: Session, rpc: Control, driveId: string, next: Uint8Array, present: Uint8Array) {
  await removeEverywhere(session, rpc, driveId, next, present);
  return new VmcError(
    'busy',
    'This change of key was given up on another device.',
    'The drive opens with the old key.',
  );
}

async function removeEverywhere(
  session: Session,
  rpc: Control,
  driveId: string,
  key: Uint8Array,
  other: Uint8Array,
): Promise<void> {
  for (let i = 0; i < MAX_SLOTS; i++) {
    const slot = await slotOf(session, rpc, driveId, key);
    if (slot === undefined) return;
    const remove = { driveId, unlock: { key: toBase64(other) }, slot };
    await callVm(session, rpc, driveKeyMethods.driveKeyRemove, remove);
  }
  throw new VmcError('bad-data', 'The VM says that it has removed the old key, but the drive still opens with it.');
}

interface Keys {
  present: Uint8Array;
  next: Uint8Array;
  nextEnvelope: Uint8Array;
}

async function commit(session: Session, rpc: Control, driveId: string, keys: Keys): Promise<void> {
  const body = { wrappedKey: toBase64(keys.nextEnvelope) };
  try {
    await ask(session, drivePeopleRoutes.driveKeyCommit, { params: { driveId }, body });
  } catch (error) {
    // The backend refuses it: it was given up elsewhere at this moment, and the only key it has must open the drive again.
    if (!(error instanceof VmcError && ['wrong-state', 'not-found', 'bad-request'].includes(error.code))) throw error;
    const add = { driveId, unlock: { key: toBase64(keys.next) }, add: { key: toBase64(keys.present) } };
    await rpc.call(driveKeyMethods.driveKeyAdd, add, { timeoutMs: 60_000 });
    await removeEverywhere(session, rpc, driveId, keys.next, keys.present);
    note(session.io, 'The change was given up on another device. The old key opens the drive again.');
    throw error;
  }
}

const noneFits = (drive: Drive) =>
  new VmcError(
    'wrong-key',
    `No key that is stored for ${drive.name} opens it. Nothing was changed.`,
    `Is its header damaged? connect drive header restore ${drive.name} --confirm ${drive.driveId}`,
  );
