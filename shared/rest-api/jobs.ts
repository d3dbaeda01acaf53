/** Long work on a host: it is begun by another route, looked at and cancelled here. Jobs are in the backend's memory. */
import * as z from 'zod';
import { ERROR_EXIT, type ErrorCode } from '../errors.ts';
import { jobIdSchema, userIdSchema } from '../names.ts';
import { defineRoute, none } from './route.ts';

export const JOB_KINDS = [
  'drive-create',
  'drive-check',
  'drive-convert',
  'snapshot-create',
  'snapshot-verify',
  'snapshot-restore',
] as const;

const errorCodes = Object.keys(ERROR_EXIT) as [ErrorCode, ...ErrorCode[]];

export const jobSchema = z.object({
  jobId: jobIdSchema,
  kind: z.enum(JOB_KINDS),
  userId: userIdSchema,
  /** What it is about: a drive's or a snapshot's id. */
  target: z.string(),
  state: z.enum(['running', 'done', 'failed', 'cancelled']),
  /** Grows with every change of this object: see jobWait. */
  version: z.number().int(),
  step: z.string().optional(),
  done: z.number().optional(),
  total: z.number().optional(),
  unit: z.enum(['bytes', 'items']).optional(),
  startedAt: z.number().int(),
  endedAt: z.number().int().optional(),
  /** Once it is done: what the host answered; its shape follows from `kind` (a drive file, a check, a snapshot …). */
  result: z.unknown().optional(),
  error: z.object({ code: z.enum(errorCodes), message: z.string(), hint: z.string().optional() }).optional(),
});
export type Job = z.output<typeof jobSchema>;

/** Seconds after which jobWait answers although nothing has changed. */
export const JOB_WAIT_SECONDS = 20;

const byJob = z.strictObject({ jobId: jobIdSchema });

export const jobRoutes = {
  jobList: defineRoute({
    method: 'GET',
    path: '/v1/jobs',
    summary: "The caller's jobs that run or ended a while ago (admins: all)",
    auth: 'user',
    params: none,
    body: none,
    result: z.object({ jobs: z.array(jobSchema) }),
  }),
  /** `version` 0 answers at once. */
  jobWait: defineRoute({
    method: 'GET',
    path: '/v1/jobs/:jobId/after/:version',
    summary: 'One job, as soon as it is newer than the version that is known',
    auth: 'user',
    params: byJob.extend({ version: z.coerce.number().int().min(0) }),
    body: none,
    result: jobSchema,
  }),
  jobCancel: defineRoute({
    method: 'POST',
    path: '/v1/jobs/:jobId/cancel',
    summary: 'Stop a job; what it had half made is removed',
    auth: 'user',
    params: byJob,
    body: none,
    result: jobSchema,
  }),
};
