/** Backups of a drive's LUKS header: ciphertext that only its owner can open. */
import { toBase64 } from '../../shared/names.ts';
import type { Handlers } from '../rest/handler.ts';
import type { MachineDeps } from './deps.ts';
import { ownDrive } from './drive-access.ts';

export function driveHeaderHandlers({ store, now }: MachineDeps): Pick<Handlers, 'driveHeaderPut' | 'driveHeaderGet'> {
  return {
    async driveHeaderPut({ params: { driveId }, body: { sealed } }, { account }) {
      ownDrive(store, account, driveId);
      return { storedAt: store.driveHeaders.add(driveId, sealed, now()) };
    },

    async driveHeaderGet({ params: { driveId } }, { account }) {
      ownDrive(store, account, driveId);
      const backups = store.driveHeaders.list(driveId);
      return { backups: backups.map(({ storedAt, sealed }) => ({ storedAt, sealed: toBase64(sealed) })) };
    },
  };
}
