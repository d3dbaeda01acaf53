/**
 * Waits for a job at the backend and shows how far it is. Ctrl-C cancels the job and waits until it has stopped; a second
 * one leaves at once. The job does not depend on this connection: when the backend cannot be reached, it is asked again.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type * as z from 'zod';
import type { RouteInput } from '../../shared/backend-client/http.ts';
import { makeBackoff } from '../../shared/backoff.ts';
import { errorFromFields, VmcError } from '../../shared/errors.ts';
import { JOB_WAIT_SECONDS, type Job, jobRoutes } from '../../shared/rest-api/jobs.ts';
import type { Route } from '../../shared/rest-api/route.ts';
import { note } from '../io.ts';
import { progressLine } from '../progress.ts';
import { type Session, signedIn } from '../session.ts';

/** Longer than the backend itself waits. */
const ANSWER_MS = (JOB_WAIT_SECONDS + 15) * 1000;
const CANCEL_MS = 30_000;
/** So long it may be unreachable at a time. */
const GIVE_UP_MS = 120_000;

/**
 * A request that begins a job. Ctrl-C does not cut it: the job might run then, and nobody know of it. It is cancelled as
 * soon as it is followed.
 */
export function beginJob<T extends Route>(
  session: Session,
  route: T,
  input: RouteInput<T>,
  timeoutMs = 60_000,
): Promise<z.output<T['result']>> {
  session.io.signal.throwIfAborted();
  return session.client.call(route, input, { timeoutMs });
}

export interface FollowOptions {
  /** How things are when the job was cancelled, e.g. 'The drive is as it was.' */
  whenCancelled: string;
  /** Told of every state that the job had when it was looked at. What it throws ends the following, not the job. */
  onChange?: (job: Job) => Promise<void>;
}

/** @returns the job, done. @throws VmcError the job's own; 'cancelled'; 'unreachable' while it goes on. */
export async function followJob(session: Session, job: Job, options: FollowOptions): Promise<Job> {
  const ended = await watchJob(session, job, { ...options, cancel: true });
  if (ended.state === 'done') return ended;
  if (ended.state === 'cancelled')
    throw new VmcError('cancelled', `Cancelled (${ended.jobId}). ${options.whenCancelled}`);
  throw ended.error === undefined ? errorFromFields(undefined) : errorFromFields(ended.error);
}

/** However it ends. @param cancel whether Ctrl-C cancels the job, or only the waiting. */
export async function watchJob(
  session: Session,
  job: Job,
  { onChange, cancel }: Pick<FollowOptions, 'onChange'> & { cancel: boolean },
): Promise<Job> {
  const { io } = session;
  const line = progressLine(io);
  let signal: AbortSignal | undefined = io.signal;
  try {
    for (let now = job; ; ) {
      await onChange?.(now);
      if (now.state !== 'running') return now;
      line.show({ ...now, step: now.step ?? now.kind });
      try {
        now = await newer(session, now, signal);
      } catch (error) {
        if (!io.signal.aborted || signal === undefined || !cancel) throw error;
        signal = undefined; // from here on only a second Ctrl-C, which ends the process
        line.end();
        note(io, `Stopping ${now.jobId}… (Ctrl-C again leaves it to itself)`);
        now = await cancelled(session, now);
      }
    }
  } finally {
    line.end();
  }
}

async function newer(session: Session, { jobId, version }: Job, signal: AbortSignal | undefined): Promise<Job> {
  const backoff = makeBackoff(Math.random);
  const bounds = { timeoutMs: ANSWER_MS, ...(signal === undefined ? {} : { signal }) };
  const asked = () => session.client.call(jobRoutes.jobWait, { params: { jobId, version }, body: {} }, bounds);
  const giveUpAt = performance.now() + GIVE_UP_MS;
  for (;;) {
    signal?.throwIfAborted();
    try {
      return await signedIn(session, asked);
    } catch (error) {
      if (!(error instanceof VmcError && (error.code === 'unreachable' || error.code === 'timeout'))) throw error;
      if (performance.now() > giveUpAt)
        throw new VmcError(
          'unreachable',
          `The backend cannot be reached any more; the work goes on there: ${error.message}`,
          `Later: connect job wait ${jobId}`,
          { cause: error },
        );
      await delay(backoff.next(), undefined, signal === undefined ? {} : { signal }).catch(() => {});
    }
  }
}

async function cancelled(session: Session, job: Job): Promise<Job> {
  const { jobId } = job;
  try {
    const asked = () =>
      session.client.call(jobRoutes.jobCancel, { params: { jobId }, body: {} }, { timeoutMs: CANCEL_MS });
    const now = await signedIn(session, asked);
    return now.version >= job.version ? now : job;
  } catch (error) {
    if (!(error instanceof VmcError)) throw error;
    if (error.code === 'wrong-state') return newer(session, { ...job, version: 0 }, undefined); // it has ended meanwhile
    throw new VmcError(
      error.code,
      `The work could not be stopped and may go on: ${error.message}`,
      `connect job cancel ${jobId}`,
      { cause: error },
    );
  }
}
