/**
 * Drives in a VM, in memory: key slots that open with what was added, a header that goes out and in, data that belong to
 * a volume key, a file system that freezes. What cryptsetup really does is tested where it really runs.
 */
import { createHash } from 'node:crypto';
import { gunzipSync, gzipSync } from 'node:zlib';
import type { DriveStatus } from '../../../shared/api/drive.ts';
import { driveCareMethods } from '../../../shared/api/drive-care.ts';
import { driveKeyMethods, HEADER_PAGE_BYTES } from '../../../shared/api/drive-keys.ts';
import { VmcError } from '../../../shared/errors.ts';
import { sha256 } from '../../../shared/identity/native.ts';
import { toBase64 } from '../../../shared/names.ts';
import { dispatcher } from '../../../shared/rpc/dispatch.ts';
import type { CallContext } from '../../../shared/rpc/method.ts';
import type { Handle } from '../../../shared/rpc/peer.ts';

type Unlock = { key: Uint8Array } | { passphrase: string };

interface Slot {
  slot: number;
  kind: 'key' | 'passphrase';
  /** Of what opens it. */
  digest: string;
}

interface Header {
  slots: Slot[];
  /** Which data it is the header of. */
  volume: number;
}

interface Disk {
  status: DriveStatus;
  /** Undefined once it was wiped. */
  header: Header | undefined;
  volume: number;
  frozen: boolean;
  staged: Map<number, Uint8Array>;
}

const methods = { ...driveCareMethods, ...driveKeyMethods };
/** Longer than a page. */
const FILLER = createHash('shake256', { outputLength: HEADER_PAGE_BYTES + 1000 })
  .update('filler')
  .digest('base64');

const digestOf = (unlock: Unlock): string =>
  createHash('sha256')
    .update('key' in unlock ? unlock.key : unlock.passphrase)
    .digest('hex');

export class FakeDisks {
  readonly disks = new Map<string, Disk>();
  /** The key each drive was formatted with. */
  readonly formattedWith = new Map<string, Uint8Array>();
  /** Thaws of a drive that was frozen. */
  thaws = 0;
  /** A drive that is detached stays, as far as the VM sees. */
  stays = false;
  /** What a freeze does right after it. */
  onFreeze: () => void = () => {};
  /** What re-encryption does before it is done. */
  onReencrypt: (context: CallContext) => Promise<void> = async () => {};
  #volumes = 0;

  disk(driveId: string): Disk {
    const found = this.disks.get(driveId);
    if (found !== undefined) return found;
    const blank: Disk = {
      ...{ status: { driveId, state: 'blank' }, header: undefined, volume: 0, frozen: false },
      staged: new Map(),
    };
    this.disks.set(driveId, blank);
    return blank;
  }

  /** As a restored snapshot has it. */
  clone(from: string, to: string): void {
    const { header, volume } = structuredClone(this.disk(from));
    Object.assign(this.disk(to), { header, volume, status: { driveId: to, state: 'locked' } });
  }

  format(driveId: string, key: Uint8Array, fileSystem: string): DriveStatus {
    const disk = this.disk(driveId);
    disk.volume = ++this.#volumes;
    disk.header = { slots: [{ slot: 0, kind: 'key', digest: digestOf({ key }) }], volume: disk.volume };
    this.formattedWith.set(driveId, key.slice());
    return this.set(driveId, { state: 'locked', fileSystem });
  }

  set(driveId: string, status: Omit<DriveStatus, 'driveId'>): DriveStatus {
    const disk = this.disk(driveId);
    disk.status = { driveId, ...status };
    return disk.status;
  }

  /** @throws VmcError 'wrong-key'. */
  slotOf(driveId: string, unlock: Unlock): Slot {
    const { header } = this.disk(driveId);
    if (header === undefined) throw new VmcError('wrong-state', 'It has no LUKS header.');
    const slot = header.slots.find((it) => it.digest === digestOf(unlock));
    if (slot === undefined) throw new VmcError('wrong-key', 'The key does not fit.');
    return slot;
  }

  opensWith(driveId: string, key: Uint8Array): boolean {
    return this.disk(driveId).header?.slots.some((it) => it.digest === digestOf({ key })) === true;
  }

  #slots(driveId: string): Slot[] {
    return this.disk(driveId).header?.slots ?? [];
  }

  /** Of the methods that look after drives and their keys. */
  handler(): Handle {
    return dispatcher(
      methods,
      {
        driveGrow: async ({ driveId, key }) => {
          this.slotOf(driveId, { key });
          const { status } = this.disk(driveId);
          if (status.state !== 'mounted') throw new VmcError('wrong-state', 'It is closed.');
          return Object.assign(status, { sizeBytes: (status.sizeBytes ?? 0) + 1 });
        },
        driveSettings: async ({ driveId, weeklyTrim }) => Object.assign(this.disk(driveId).status, { weeklyTrim }),
        driveFreeze: async ({ driveId, seconds }) => {
          this.disk(driveId).frozen = true;
          this.onFreeze();
          return { frozenUntil: Date.now() + seconds * 1000 };
        },
        driveThaw: async ({ driveId }) => {
          const disk = this.disk(driveId);
          const wasFrozen = disk.frozen;
          disk.frozen = false;
          if (wasFrozen) this.thaws++;
          return { wasFrozen };
        },
        driveWaitGone: async () => ({ gone: !this.stays }),
        driveKeyList: async ({ driveId }) => ({
          slots: this.#slots(driveId).map(({ slot, kind }) => ({ slot, kind })),
        }),
        driveKeyCheck: async ({ driveId, unlock }) => ({ slot: this.slotOf(driveId, unlock).slot }),
        driveKeyAdd: async ({ driveId, unlock, add }) => {
          this.slotOf(driveId, unlock);
          const slots = this.#slots(driveId);
          const digest = digestOf(add);
          const there = slots.find((it) => it.digest === digest);
          if (there !== undefined) return { slot: there.slot };
          const slot = [...Array(32).keys()].find((n) => slots.every((it) => it.slot !== n)) as number;
          slots.push({ slot, kind: 'key' in add ? 'key' : 'passphrase', digest });
          return { slot };
        },
        driveKeyRemove: async ({ driveId, unlock, slot }) => {
          if (this.slotOf(driveId, unlock).slot === slot) throw new VmcError('wrong-state', 'It is the one you use.');
          const { header } = this.disk(driveId);
          if (header !== undefined) header.slots = header.slots.filter((it) => it.slot !== slot);
          return {};
        },
        driveReencrypt: async ({ driveId, key }, context) => {
          this.slotOf(driveId, { key });
          const disk = this.disk(driveId);
          await this.onReencrypt(context);
          if (context.signal.aborted) return { state: 'paused' as const, status: disk.status };
          disk.volume = ++this.#volumes;
          if (disk.header !== undefined) disk.header.volume = disk.volume;
          return { state: 'done' as const, status: disk.status };
        },
        driveHeaderRead: async ({ driveId, offset }) => {
          const { header } = this.disk(driveId);
          if (header === undefined) throw new VmcError('wrong-state', 'It has no LUKS header.');
          const bytes = new Uint8Array(gzipSync(JSON.stringify({ header, FILLER })));
          return {
            data: toBase64(bytes.subarray(offset, offset + HEADER_PAGE_BYTES)),
            totalBytes: bytes.length,
            sha256: sha256(bytes).toHex(),
          };
        },
        driveHeaderStage: async ({ driveId, offset, data, totalBytes }) => {
          const { staged } = this.disk(driveId);
          if (offset === 0) staged.clear();
          staged.set(offset, data);
          return { missing: totalBytes - [...staged.values()].reduce((sum, it) => sum + it.length, 0) };
        },
        driveHeaderRestore: async ({ driveId, key, sha256: wanted }) => {
          const disk = this.disk(driveId);
          const bytes = new Uint8Array(Buffer.concat([...disk.staged.values()]));
          if (sha256(bytes).toHex() !== wanted) throw new VmcError('bad-data', 'Pages are missing.');
          const { header } = JSON.parse(gunzipSync(bytes).toString()) as { header: Header };
          if (!header.slots.some((it) => it.digest === digestOf({ key })))
            throw new VmcError('wrong-key', 'The key does not fit the header.');
          if (header.volume !== disk.volume) throw new VmcError('bad-data', 'The header does not fit the data.');
          disk.header = header;
          return this.set(driveId, { state: 'locked' });
        },
      },
      () => {},
      {},
    );
  }

  /** Whether it is one of those. */
  static knows(method: string): boolean {
    return Object.values(methods).some((it) => it.name === method);
  }
}
