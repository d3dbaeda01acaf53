/** The methods of keys of drives. What tries a key is audited too: guesses show. */
import { driveKeyMethods } from '../shared/api/drive-keys.ts';
import type { controlMethods } from '../shared/api/index.ts';
import { toBase64 } from '../shared/names.ts';
import type { CallContext, Implementation } from '../shared/rpc/method.ts';
import type { Caller } from './channel-server/channel-server.ts';
import type { Drives } from './drives/drives.ts';

type Who = Pick<CallContext, 'signal'> & { caller: Caller };
type AnyMethod = (typeof controlMethods)[keyof typeof controlMethods];
type Audited = <T>(context: Who, method: AnyMethod, target: string, work: () => Promise<T>) => Promise<T>;

export function driveKeyCalls(
  audited: Audited,
  drives: () => Promise<Drives>,
): Implementation<typeof driveKeyMethods, { caller: Caller }> {
  const keys = async () => (await drives()).keys;
  return {
    driveKeyList: async ({ driveId }, context) => ({ slots: await (await keys()).list(driveId, context) }),
    driveKeyCheck: ({ driveId, unlock }, context) =>
      audited(context, driveKeyMethods.driveKeyCheck, driveId, async () => ({
        slot: await (await keys()).check(driveId, unlock, context),
      })),
    driveKeyAdd: ({ driveId, ...secrets }, context) =>
      audited(context, driveKeyMethods.driveKeyAdd, driveId, async () => ({
        slot: await (await keys()).add(driveId, secrets, context),
      })),
    driveKeyRemove: ({ driveId, ...what }, context) =>
      audited(context, driveKeyMethods.driveKeyRemove, `${driveId} slot=${what.slot}`, async () => {
        await (await keys()).remove(driveId, what, context);
        return {};
      }),
    driveReencrypt: ({ driveId, key }, context) =>
      audited(context, driveKeyMethods.driveReencrypt, driveId, async () => {
        const state = await (await keys()).reencrypt(driveId, key, context);
        return { state, status: await (await drives()).status(driveId) };
      }),
    // Each page: they can be read in any order.
    driveHeaderRead: ({ driveId, offset }, context) =>
      audited(context, driveKeyMethods.driveHeaderRead, `${driveId} offset=${offset}`, async () => {
        const { data, ...page } = await (await keys()).readHeader(driveId, offset, context);
        return { ...page, data: toBase64(data) };
      }),
    driveHeaderStage: (page, context) =>
      audited(context, driveKeyMethods.driveHeaderStage, `${page.driveId} ${page.sha256}`, async () => ({
        missing: (await keys()).stageHeader(context.caller.fingerprint, page),
      })),
    driveHeaderRestore: (request, context) =>
      audited(context, driveKeyMethods.driveHeaderRestore, `${request.driveId} ${request.sha256}`, async () => {
        await (await keys()).restoreStaged(context.caller.fingerprint, request, context);
        return (await drives()).status(request.driveId);
      }),
  };
}
