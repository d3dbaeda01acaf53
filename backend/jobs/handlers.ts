/** Jobs, as their own people and administrators see them. */
import { VmcError } from '../../shared/errors.ts';
import { JOB_WAIT_SECONDS, type Job, type jobRoutes } from '../../shared/rest-api/jobs.ts';
import type { Handlers } from '../rest/handler.ts';
import { isAdmin } from '../rest/sessions.ts';
import type { Account } from '../store/accounts.ts';
import type { Jobs } from './jobs.ts';

export function jobHandlers(jobs: Jobs): Pick<Handlers, keyof typeof jobRoutes> {
  /** Somebody else's job looks like one that does not exist. */
  const visible = (job: Job | undefined, account: Account, jobId: string): Job => {
    if (job !== undefined && (job.userId === account.userId || isAdmin(account))) return job;
    throw new VmcError('not-found', `You have no job ${jobId}.`, 'An hour after its end a job is forgotten.');
  };
  return {
    async jobList(_input, { account }) {
      return { jobs: jobs.list(isAdmin(account) ? undefined : account.userId) };
    },

    async jobWait({ params: { jobId, version } }, { account, gone }) {
      visible(jobs.get(jobId), account, jobId);
      const job = await jobs.wait(jobId, version, account.userId, JOB_WAIT_SECONDS * 1000, gone);
      return visible(job, account, jobId);
    },

    async jobCancel({ params: { jobId } }, { account }) {
      visible(jobs.get(jobId), account, jobId);
      return visible(jobs.cancel(jobId), account, jobId);
    },
  };
}
