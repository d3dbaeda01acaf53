/** The VM itself: who it is and how it does. */
import * as z from 'zod';
import { vmIdSchema } from '../names.ts';
import { defineMethod } from './define.ts';

export const systemMethods = {
  systemInfo: defineMethod({
    name: 'system.info',
    summary: 'Identity, version, uptime and memory of the controller',
    right: 'member',
    changes: false,
    params: z.strictObject({}),
    result: z.object({
      vmId: vmIdSchema,
      name: z.string(),
      version: z.string(),
      fingerprint: z.string(),
      ownerFingerprint: z.string(),
      /** Grows with each change of the people. A device that has seen a higher one knows that they were rolled back. */
      peopleVersion: z.number().int().nonnegative(),
      /** Why nobody but the owner may come in: the stored people cannot be trusted. */
      peopleProblem: z.string().optional(),
      startedAt: z.number(),
      /** Seconds from the start of the vmc process to its first socket parked at the relay. */
      secondsToPark: z.number().optional(),
      /** Seconds that Node itself took of these, before a line of vmc ran. */
      secondsOfNode: z.number(),
      /** Resident memory of the vmc process. */
      rssBytes: z.number().int(),
    }),
    progress: false,
  }),
  systemPing: defineMethod({
    name: 'system.ping',
    summary: 'Send back what was sent, through the whole encrypted path',
    right: 'member',
    changes: false,
    params: z.strictObject({ payload: z.string().max(1024) }),
    result: z.object({ payload: z.string().max(1024) }),
    progress: false,
  }),
};
