/** Keys of the drives in this VM (requirement C7): slots, re-encryption, the header out and in again. */
import { type DriveUnlock, HEADER_PAGE_BYTES, type KeySlot } from '../../shared/api/drive-keys.ts';
import { VmcError } from '../../shared/errors.ts';
import type { CallContext } from '../../shared/rpc/method.ts';
import { sha256Hex } from './header-pack.ts';
import { backupHeader, restoreHeader } from './header-restore.ts';
import { addSlot, checkSlot, listSlots, removeSlot } from './key-slots.ts';
import { reencrypt } from './reencrypt.ts';
import { type HeaderPage, StagedHeaders } from './staged-headers.ts';
import type { DriveTurns, Stoppable } from './turns.ts';
import { type Secret, secretOf } from './unlock.ts';

export interface HeaderPart {
  data: Uint8Array;
  totalBytes: number;
  sha256: string;
}

export interface RestoreRequest {
  driveId: string;
  key: Uint8Array;
  /** The drive's id once more. */
  confirm: string;
}

export class DriveKeys {
  readonly #turns: DriveTurns;
  readonly #staged: StagedHeaders;

  /** @param turns shared with whatever else works on drives. @param clock milliseconds. */
  constructor({ turns, clock }: { turns: DriveTurns; clock: () => number }) {
    this.#turns = turns;
    this.#staged = new StagedHeaders(clock);
  }

  async list(driveId: string, context: Stoppable): Promise<KeySlot[]> {
    const slots = await this.#with(driveId, [], context, (device) => listSlots(driveId, device));
    return slots.map(({ slot, kind }) => ({ slot, kind }));
  }

  check(driveId: string, unlock: DriveUnlock, context: Stoppable): Promise<number> {
    const secret = secretOf(unlock);
    return this.#with(driveId, [secret], context, (device) => checkSlot(driveId, device, secret));
  }

  add(
    driveId: string,
    { unlock, add }: { unlock: DriveUnlock; add: DriveUnlock },
    context: Stoppable,
  ): Promise<number> {
    const [old, more] = [secretOf(unlock), secretOf(add)];
    return this.#with(driveId, [old, more], context, (device) => addSlot(driveId, device, old, more));
  }

  remove(driveId: string, { unlock, slot }: { unlock: DriveUnlock; slot: number }, context: Stoppable): Promise<void> {
    const secret = secretOf(unlock);
    return this.#with(driveId, [secret], context, (device) => removeSlot(driveId, device, secret, slot));
  }

  /** All of the header, as it is kept. */
  backupHeader(driveId: string, context: Stoppable): Promise<Uint8Array> {
    return this.#with(driveId, [], context, (device) => backupHeader(driveId, device));
  }

  /** One page of it. */
  async readHeader(driveId: string, offset: number, context: Stoppable): Promise<HeaderPart> {
    const packed = await this.backupHeader(driveId, context);
    const data = packed.subarray(offset, offset + HEADER_PAGE_BYTES);
    return { data, totalBytes: packed.length, sha256: sha256Hex(packed) };
  }

  /** @param who whose page it is: nobody adds to what somebody else began. @returns the bytes still missing. */
  stageHeader(who: string, page: HeaderPage): number {
    return this.#staged.add(who, page);
  }

  async restoreStaged(who: string, request: RestoreRequest & { sha256: string }, context: Stoppable): Promise<void> {
    const { driveId, sha256 } = request;
    await this.restoreHeader(request, () => this.#staged.whole(who, driveId, sha256), context);
    this.#staged.forget(driveId);
  }

  /** @param packed asked when it is the drive's turn. */
  restoreHeader(
    { driveId, key, confirm }: RestoreRequest,
    packed: () => Uint8Array,
    context: Stoppable,
  ): Promise<void> {
    const secret: Secret = { kind: 'key', bytes: key };
    return this.#with(driveId, [secret], context, async (device) => {
      if (confirm !== driveId)
        throw new VmcError('bad-request', `Repeat the id of the drive, ${driveId}.`, 'Nothing was changed.');
      await restoreHeader(driveId, device, packed(), secret);
    });
  }

  /** Begins, or goes on. @returns 'paused' when it was stopped. */
  reencrypt(
    driveId: string,
    key: Uint8Array,
    context: Pick<CallContext, 'progress' | 'signal'>,
  ): Promise<'done' | 'paused'> {
    return this.#turns.withDevice({ driveId, secrets: [key], reencrypting: true }, context, (device) =>
      reencrypt({ driveId, device, key, progress: (it) => context.progress(it), signal: context.signal }),
    );
  }

  #with<T>(
    driveId: string,
    secrets: readonly Secret[],
    context: Stoppable,
    work: (device: string) => Promise<T>,
  ): Promise<T> {
    return this.#turns.withDevice({ driveId, secrets: secrets.map(({ bytes }) => bytes) }, context, work);
  }
}
