/** `connect job`: long work of hosts that was begun here or on another device. */
import type { Command } from 'commander';
import { VmcError } from '../../shared/errors.ts';
import { jobIdSchema } from '../../shared/names.ts';
import { type Job, jobRoutes } from '../../shared/rest-api/jobs.ts';
import { type ConnectIo, reply } from '../io.ts';
import { checked } from '../options.ts';
import { ask, type Session, withSession } from '../session.ts';
import { watchJob } from './follow.ts';
import { jobDetails, jobTable } from './text.ts';

export function addJobCommands(program: Command, io: ConnectIo): void {
  const jobs = program.command('job').description('Long work on hosts: copying, checking, converting');

  jobs
    .command('list')
    .description('Your jobs that run, or ended within the last hour (administrators: all)')
    .option('--json', 'answer as JSON')
    .addHelpText('after', '\nExample:\n  connect job list')
    .action(({ json }: { json?: boolean }, command: Command) =>
      withSession(io, command, async (session) => {
        const answer = await ask(session, jobRoutes.jobList, { params: {}, body: {} });
        reply(io, json, answer, (it) => jobTable(it.jobs));
      }),
    );

  jobs
    .command('show')
    .description('One job')
    .argument('<job>', 'its id, job-…')
    .option('--json', 'answer as JSON')
    .addHelpText('after', '\nExample:\n  connect job show job-0123456789abcdef')
    .action((wanted: string, { json }: { json?: boolean }, command: Command) => {
      const jobId = checked(jobIdSchema, wanted, 'the id');
      return withSession(io, command, async (session) => {
        reply(io, json, await getJob(session, jobId), jobDetails);
      });
    });

  jobs
    .command('wait')
    .description('Show how far a job is until it has ended. Ctrl-C ends the waiting, not the job')
    .argument('<job>', 'its id, job-…')
    .option('--json', 'answer as JSON')
    .addHelpText('after', '\nExample:\n  connect job wait job-0123456789abcdef')
    .action((wanted: string, { json }: { json?: boolean }, command: Command) => {
      const jobId = checked(jobIdSchema, wanted, 'the id');
      return withSession(io, command, async (session) => {
        const ended = await watchJob(session, await getJob(session, jobId), { cancel: false });
        reply(io, json, ended, jobDetails);
        if (ended.state !== 'done') throw notDone(ended);
      });
    });

  jobs
    .command('cancel')
    .description('Stop a job. What it had half made is removed')
    .argument('<job>', 'its id, job-…')
    .option('--json', 'answer as JSON')
    .addHelpText('after', '\nExample:\n  connect job cancel job-0123456789abcdef')
    .action((wanted: string, { json }: { json?: boolean }, command: Command) => {
      const jobId = checked(jobIdSchema, wanted, 'the id');
      return withSession(io, command, async (session) => {
        const job = await ask(session, jobRoutes.jobCancel, { params: { jobId }, body: {} });
        reply(io, json, await watchJob(session, job, { cancel: false }), jobDetails);
      });
    });
}

export function getJob(session: Session, jobId: string): Promise<Job> {
  return ask(session, jobRoutes.jobWait, { params: { jobId, version: 0 }, body: {} });
}

function notDone({ jobId, state, error }: Job): VmcError {
  if (error !== undefined) return new VmcError(error.code, error.message, error.hint);
  return new VmcError('cancelled', `${jobId} was ${state}.`);
}
