/** The methods of a control channel, each led to its feature. Every call that changes something is audited before it begins and when it has ended. */
import type * as z from 'zod';
import { controlMethods } from '../shared/api/index.ts';
import type { MethodRight } from '../shared/api/rights.ts';
import { publicError } from '../shared/errors.ts';
import { dispatcher } from '../shared/rpc/dispatch.ts';
import type { Implementation } from '../shared/rpc/method.ts';
import type { Handle } from '../shared/rpc/peer.ts';
import type { AuditLog } from './audit/audit-log.ts';
import type { Caller } from './channel-server/channel-server.ts';
import type { Drives } from './drives/drives.ts';
import type { RequestMemory } from './requests/request-memory.ts';
import { requireRight } from './rights/rights.ts';
import type { Tunnel } from './tunnel/tunnel.ts';

export interface DispatchDeps {
  drives: () => Promise<Drives>;
  tunnel: Tunnel;
  info: () => z.input<typeof controlMethods.systemInfo.result>;
  audit: Pick<AuditLog, 'around' | 'refuse'>;
  requests: Pick<RequestMemory, 'once'>;
}

interface Who {
  caller: Caller;
}

/** @returns for each caller the function that answers their requests. */
export function makeDispatch(deps: DispatchDeps): (caller: Caller) => Handle {
  const { audit, tunnel, drives } = deps;

  const audited = <T>({ caller }: Who, what: string, target: string, work: () => Promise<T>): Promise<T> =>
    audit.around({ who: caller.fingerprint, what, target }, work);

  const implementation: Implementation<typeof controlMethods, Who> = {
    systemInfo: async () => deps.info(),
    systemPing: async ({ payload }) => ({ payload }),
    driveList: async () => ({ drives: await (await drives()).list() }),
    driveFormat: (params, context) =>
      audited(context, 'drive.format', params.driveId, async () => (await drives()).format(params, context)),
    driveOpen: (params, context) =>
      audited(context, 'drive.open', params.driveId, async () => (await drives()).open(params)),
    driveClose: (params, context) =>
      audited(context, 'drive.close', params.driveId, async () => (await drives()).close(params.driveId)),
    driveTrim: (params, context) =>
      audited(context, 'drive.trim', params.driveId, async () => ({
        trimmedBytes: await (await drives()).trim(params.driveId),
      })),
    tunnelOpen: ({ certificateSha256 }, context) =>
      audited(context, 'tunnel.open', certificateSha256, () =>
        tunnel.open(certificateSha256, context.caller.fingerprint),
      ),
    tunnelClose: ({ certificateSha256 }, context) =>
      audited(context, 'tunnel.close', certificateSha256, async () => ({
        closedStreams: tunnel.close(certificateSha256, context.caller.fingerprint),
      })),
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
