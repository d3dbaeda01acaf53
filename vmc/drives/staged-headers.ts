/** Headers that people are about to restore, page by page, in memory: one for each drive, a few in all, for ten minutes. */
import { HEADER_MAX_BYTES } from '../../shared/api/drive-keys.ts';
import { VmcError } from '../../shared/errors.ts';
import { sha256Hex } from './header-pack.ts';

const LIFETIME_MS = 10 * 60_000;
const MOST = 4;

export interface HeaderPage {
  driveId: string;
  offset: number;
  data: Uint8Array;
  totalBytes: number;
  sha256: string;
}

interface Staged {
  who: string;
  sha256: string;
  bytes: Uint8Array;
  received: number;
  until: number;
}

export class StagedHeaders {
  readonly #clock: () => number;
  readonly #byDrive = new Map<string, Staged>();

  /** @param clock milliseconds. */
  constructor(clock: () => number) {
    this.#clock = clock;
  }

  /** Pages come in order; the first one begins anew. @returns the bytes that are still missing. @throws VmcError 'bad-request', 'limit'. */
  add(who: string, { driveId, offset, data, totalBytes, sha256 }: HeaderPage): number {
    this.#forgetOld();
    if (offset === 0) {
      if (totalBytes > HEADER_MAX_BYTES) throw new VmcError('limit', 'That is too much for a header.');
      if (!this.#byDrive.has(driveId) && this.#byDrive.size >= MOST)
        throw new VmcError('limit', 'Headers of other drives are being restored.', 'Try again in ten minutes.');
      this.#byDrive.set(driveId, { who, sha256, bytes: new Uint8Array(totalBytes), received: 0, until: 0 });
    }
    const staged = this.#byDrive.get(driveId);
    const fits =
      staged !== undefined &&
      staged.who === who &&
      staged.sha256 === sha256 &&
      staged.bytes.length === totalBytes &&
      offset <= staged.received &&
      offset + data.length <= totalBytes;
    if (!fits)
      throw new VmcError('bad-request', 'This page does not follow the ones before it.', 'Begin with the first page.');
    staged.bytes.set(data, offset);
    staged.received = Math.max(staged.received, offset + data.length);
    staged.until = this.#clock() + LIFETIME_MS;
    return totalBytes - staged.received;
  }

  /** @throws VmcError 'not-found' when it is not all there; 'bad-data' when it is not what was announced. */
  whole(who: string, driveId: string, sha256: string): Uint8Array {
    this.#forgetOld();
    const staged = this.#byDrive.get(driveId);
    if (staged?.who !== who || staged.sha256 !== sha256 || staged.received < staged.bytes.length)
      throw new VmcError('not-found', `No whole header for the drive ${driveId} is here.`, 'Send its pages again.');
    if (sha256Hex(staged.bytes) !== sha256)
      throw new VmcError('bad-data', 'The header is not the one that was announced.', 'Send its pages again.');
    return staged.bytes;
  }

  forget(driveId: string): void {
    this.#byDrive.delete(driveId);
  }

  #forgetOld(): void {
    const now = this.#clock();
    for (const [driveId, { until }] of this.#byDrive) if (until <= now) this.#byDrive.delete(driveId);
  }
}
