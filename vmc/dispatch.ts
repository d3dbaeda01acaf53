/**
 * The methods of a control channel, each led to its feature. Every call that changes something is audited before it begins
 * and when it has ended; and between the two first, which takes its time, the caller's right is looked at once more.
 */
import type * as z from 'zod';
import { controlMethods } from '../shared/api/index.ts';
import type { MethodRight } from '../shared/api/rights.ts';
import { publicError, VmcError } from '../shared/errors.ts';
import { fingerprint } from '../shared/identity/fingerprint.ts';
import { dispatcher } from '../shared/rpc/dispatch.ts';
import type { CallContext, Implementation } from '../shared/rpc/method.ts';
import type { Handle } from '../shared/rpc/peer.ts';
import type { AuditLog } from './audit/audit-log.ts';
import type { LogReader } from './audit/read-page.ts';
import type { Caller } from './channel-server/channel-server.ts';
import { driveKeyCalls } from './dispatch-drive-keys.ts';
import type { Drives } from './drives/drives.ts';
import type { Media } from './media/media.ts';
import type { Change, WantedStanding } from './people/decide-change.ts';
import { describeMember, describePeople, describeProfiles } from './people/describe-people.ts';
import type { People } from './people/people.ts';
import { requireRight } from './people/require-right.ts';
import type { RequestMemory } from './requests/request-memory.ts';
import type { Tunnel } from './tunnel/tunnel.ts';

export interface DispatchDeps {
  drives: () => Promise<Drives>;
  media: () => Promise<Media>;
  tunnel: Tunnel;
  people: Pick<People, 'state' | 'ownerKey' | 'change' | 'reset'>;
  /** A reset must name this VM. */
  vmId: string;
  info: () => z.input<typeof controlMethods.systemInfo.result>;
  audit: Pick<AuditLog, 'around' | 'refuse'>;
  auditLog: Pick<LogReader, 'head' | 'page'>;
  requests: Pick<RequestMemory, 'once'>;
}

interface Who extends Pick<CallContext, 'signal'> {
  caller: Caller;
}

type Changing = (typeof controlMethods)[keyof typeof controlMethods];

/** @returns for each caller the function that answers their requests. */
export function makeDispatch(deps: DispatchDeps): (caller: Caller) => Handle {
  const { audit, auditLog, tunnel, drives, media, people } = deps;

  const audited = async <T>({ caller, signal }: Who, method: Changing, target: string, work: () => Promise<T>) => {
    const { fingerprint: who } = caller;
    const what = method.name;
    if (!caller.mayRecord()) {
      void audit.refuse({ who, what, result: 'limit' });
      throw new VmcError('limit', 'You change things in this VM too often. This was not done.', 'Wait a minute.');
    }
    return audit.around({ who, what, target }, async () => {
      signal.throwIfAborted();
      requireRight(caller.rights(), method.right);
      return work();
    });
  };

  const changePeople = (context: Who, method: Changing, target: string, change: Change, expected?: number) =>
    audited(context, method, target, async () => ({
      version: await people.change(context.caller.fingerprint, change, expected),
    }));

  const implementation: Implementation<typeof controlMethods, { caller: Caller }> = {
    systemInfo: async () => deps.info(),
    systemPing: async ({ payload }) => ({ payload }),
    driveList: async () => ({ drives: await (await drives()).list() }),
    driveFormat: (params, context) =>
      audited(context, controlMethods.driveFormat, params.driveId, async () =>
        (await drives()).format(params, context),
      ),
    driveOpen: ({ repair, ...params }, context) =>
      audited(context, controlMethods.driveOpen, params.driveId, async () => {
        if (repair) requireRight(context.caller.rights(), 'drives.full');
        return (await drives()).open({ ...params, repair: repair ? 'full' : 'none' }, context);
      }),
    driveClose: (params, context) =>
      audited(context, controlMethods.driveClose, params.driveId, async () =>
        (await drives()).close(params.driveId, context, params.leaving),
      ),
    driveTrim: (params, context) =>
      audited(context, controlMethods.driveTrim, params.driveId, async () => ({
        trimmedBytes: await (await drives()).trim(params.driveId, context),
      })),
    isoList: async () => ({ isos: await (await media()).isos.list() }),
    isoMount: (params, context) =>
      audited(context, controlMethods.isoMount, `${params.isoId} ${params.name}`, async () =>
        (await media()).isos.mount(params, context),
      ),
    isoUnmount: ({ isoId }, context) =>
      audited(context, controlMethods.isoUnmount, isoId, async () => {
        await (await media()).isos.unmount(isoId, context);
        return {};
      }),
    nfsList: async () => (await media()).nfs.list(),
    nfsMount: (params, context) => {
      const target = `${params.server}:${params.path} ${params.name}${params.readOnly ? '' : ' read-write'}`;
      return audited(context, controlMethods.nfsMount, target, async () => (await media()).nfs.mount(params, context));
    },
    nfsUnmount: ({ name }, context) =>
      audited(context, controlMethods.nfsUnmount, name, async () => {
        await (await media()).nfs.unmount(name, context);
        return {};
      }),
    driveGrow: (params, context) =>
      audited(context, controlMethods.driveGrow, params.driveId, async () => (await drives()).grow(params, context)),
    driveSettings: ({ driveId, ...settings }, context) =>
      audited(context, controlMethods.driveSettings, driveId, async () =>
        (await drives()).configure(driveId, settings, context),
      ),
    driveFreeze: ({ driveId, seconds }, context) =>
      audited(context, controlMethods.driveFreeze, driveId, async () => ({
        frozenUntil: await (await drives()).freeze(driveId, seconds, context),
      })),
    driveThaw: ({ driveId }, context) =>
      audited(context, controlMethods.driveThaw, driveId, async () => ({
        wasFrozen: await (await drives()).thaw(driveId, context),
      })),
    driveWaitGone: async ({ driveId, seconds }, context) => ({
      gone: await (await drives()).waitGone(driveId, seconds, context),
    }),
    ...driveKeyCalls(audited, drives),
    tunnelOpen: ({ certificateSha256 }, context) =>
      audited(context, controlMethods.tunnelOpen, certificateSha256, async () =>
        tunnel.open(certificateSha256, context.caller.fingerprint, () => context.caller.rights()),
      ),
    tunnelClose: ({ certificateSha256 }, context) =>
      audited(context, controlMethods.tunnelClose, certificateSha256, async () => ({
        closedStreams: tunnel.close(certificateSha256, context.caller.fingerprint),
      })),
    tunnelList: async ({ after }, { caller }) => tunnel.list(caller.fingerprint, caller.rights(), after),
    peopleMe: async (_params, { caller }) => describeMember(people.state, caller.fingerprint),
    peopleList: async () => describePeople(people.state, people.ownerKey),
    peopleAdd: ({ expectedVersion, ...person }, context) => {
      const target = `${fingerprint(person.ed25519)} ${person.name} ${standingWords(person)}`;
      return changePeople(context, controlMethods.peopleAdd, target, { kind: 'add', ...person }, expectedVersion);
    },
    peopleChange: ({ expectedVersion, ...wanted }, context) => {
      const target = `${wanted.person} ${standingWords(wanted)}`;
      return changePeople(context, controlMethods.peopleChange, target, { kind: 'change', ...wanted }, expectedVersion);
    },
    peopleRemove: ({ person, expectedVersion }, context) =>
      changePeople(context, controlMethods.peopleRemove, person, { kind: 'remove', person }, expectedVersion),
    peopleLeave: (_params, context) =>
      changePeople(context, controlMethods.peopleLeave, context.caller.fingerprint, { kind: 'leave' }),
    peopleReset: ({ confirm }, context) =>
      audited(context, controlMethods.peopleReset, confirm, async () => {
        if (confirm !== deps.vmId)
          throw new VmcError('bad-request', `This VM is ${deps.vmId}, not ${confirm}.`, 'Nothing was changed.');
        return { version: await people.reset(context.caller.fingerprint) };
      }),
    profileList: async () => describeProfiles(people.state),
    profileSet: ({ expectedVersion, name, rights }, context) => {
      const target = `${name} ${rights.join(',')}`;
      return changePeople(
        context,
        controlMethods.profileSet,
        target,
        { kind: 'set-profile', name, rights },
        expectedVersion,
      );
    },
    auditHead: () => auditLog.head(),
    auditRead: async (position) => {
      const { data, next } = await auditLog.page(position);
      return { data: data.toBase64(), next };
    },
    profileRemove: ({ name, expectedVersion }, context) =>
      changePeople(context, controlMethods.profileRemove, name, { kind: 'remove-profile', name }, expectedVersion),
  };

  return (caller) => {
    const allow = (method: { name: string; right: string }) => {
      try {
        requireRight(caller.rights(), method.right as MethodRight);
      } catch (error) {
        void audit.refuse({ who: caller.fingerprint, what: method.name, result: publicError(error).code });
        throw error;
      }
    };
    return dispatcher(controlMethods, implementation, allow, { caller }, (request, work) =>
      deps.requests.once(caller.fingerprint, request, work),
    );
  };
}

/** For the audit log: role=user profile=students, rights=files,upload. */
function standingWords({ role, profile, rights }: WantedStanding): string {
  const words = { role, profile, rights: rights?.join(',') };
  return Object.entries(words)
    .filter(([, value]) => value !== undefined)
    .map(([key, value]) => `${key}=${value}`)
    .join(' ');
}
