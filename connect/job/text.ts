/** Jobs as text. */
import { humanBytes, table } from '../../shared/cli/program.ts';
import type { Job } from '../../shared/rest-api/jobs.ts';
import { progressText } from '../progress.ts';

export function jobTable(jobs: readonly Job[]): string {
  const rows = jobs.map((job) => [
    job.jobId,
    job.kind,
    job.target,
    job.state,
    new Date(job.startedAt).toISOString(),
    far(job),
  ]);
  return table([['ID', 'WHAT', 'OF', 'STATE', 'BEGUN', ''], ...rows]);
}

export function jobDetails(job: Job): string {
  return table([
    ['id', job.jobId],
    ['what', job.kind],
    ['of', job.target],
    ['state', job.state],
    ['begun', new Date(job.startedAt).toISOString()],
    ...(job.endedAt === undefined ? [] : [['ended', new Date(job.endedAt).toISOString()]]),
    ...(far(job) === '' ? [] : [['', far(job)]]),
    ...(job.error?.hint === undefined ? [] : [['hint', job.error.hint]]),
  ]);
}

function far(job: Job): string {
  if (job.error !== undefined) return `${job.error.code}: ${job.error.message}`;
  if (job.state === 'running') return progressText({ ...job, step: job.step ?? '' });
  return job.state === 'done' && job.total !== undefined && job.unit === 'bytes' ? humanBytes(job.total) : '';
}
