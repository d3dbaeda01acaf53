/** A copy of a running VM's drive as it is at one moment: QEMU keeps what the guest overwrites until it is copied. */
import type * as z from 'zod';
import { VmcError } from '../../shared/errors.ts';
import type { vmIdSchema } from '../../shared/names.ts';
import type { Progress } from '../../shared/rpc/method.ts';
import { CommandError } from '../../shared/run.ts';
import { inspectDomain } from '../domains/inventory.ts';
import type { Host } from '../host.ts';
import { nextEvent, waitFor } from '../libvirt/events.ts';
import { backupXml, checkpointXml } from './backup-xml.ts';
import { type JobState, parseJob } from './parse-job.ts';

const LOOK_SECONDS = 1;
const ABORT_DEADLINE_MS = 30_000;
const ABORT_REPEAT_MS = 5000;

export interface LiveCopy {
  domain: z.output<typeof vmIdSchema>;
  /** libvirt's name of it, such as sdb. */
  disk: string;
  /** Does not exist yet; made by libvirt. */
  file: string;
  /** Changes since that snapshot only; undefined: all of it. */
  parentId: string | undefined;
  /** From this moment on, changes are noted by this name; undefined: they are not. */
  bitmap: string | undefined;
}

export interface BegunCopy extends LiveCopy {
  /** The job's end, if it comes soon: heard from before its beginning on. */
  soon: Promise<void>;
  /** Ends the listening. */
  listener: AbortController;
}

/** Returns at the moment that the copy will show. @throws VmcError 'busy' when another job is under way. */
export async function beginLiveCopy(host: Host, copy: LiveCopy): Promise<BegunCopy> {
  await host.virsh.run(['domjobinfo', copy.domain, '--completed']); // what another job left to read is read now
  const documents = [
    backupXml(copy.disk, copy.file, copy.parentId),
    ...(copy.bitmap === undefined ? [] : [checkpointXml(copy.disk, copy.bitmap)]),
  ];
  const listener = new AbortController();
  const soon = nextEvent(host.virsh, 'job-completed', copy.domain, LOOK_SECONDS, listener.signal);
  soon.catch(() => {}); // it is awaited later, unless there is no beginning
  try {
    await host.virsh.runWithXmls(documents, (paths) => ['backup-begin', copy.domain, ...paths]);
    return { ...copy, soon, listener };
  } catch (error) {
    listener.abort();
    if (error instanceof CommandError && /active .*(job|backup)|job: .* acquire|job is active/i.test(error.stderr))
      throw new VmcError('busy', `Another job of ${copy.domain} is under way.`, 'Wait for it to end, then try again.');
    throw error;
  }
}

/** @throws VmcError 'cancelled', 'wrong-state' when the VM stopped meanwhile, 'command-failed'. */
export async function finishLiveCopy(
  host: Host,
  { domain, soon, listener }: BegunCopy,
  progress: (progress: Pick<Progress, 'done' | 'total'>) => void,
  signal: AbortSignal | undefined,
): Promise<void> {
  try {
    for (let listening: Promise<void> | undefined = soon; ; listening = undefined) {
      if (signal?.aborted === true) throw new VmcError('cancelled', 'The snapshot was cancelled.');
      const now = await jobOf(host, domain, []);
      if (now.state === 'none') break;
      progress({ done: now.doneBytes, total: now.totalBytes });
      await (listening ?? nextEvent(host.virsh, 'job-completed', domain, LOOK_SECONDS, signal)).catch(
        (error: unknown) => {
          if (signal?.aborted !== true) throw error;
        },
      );
    }
  } finally {
    listener.abort();
  }
  const result = await jobOf(host, domain, ['--completed']);
  if (result.state === 'completed' && result.backup) return;
  if ((await inspectDomain(host.virsh, domain))?.state === 'off')
    throw new VmcError('wrong-state', `${domain} stopped while its drive was copied.`, 'Take the snapshot again.');
  throw new VmcError('command-failed', `The copy failed: ${result.problem ?? 'libvirt does not say why'}.`);
}

async function jobOf(host: Host, domain: string, options: readonly string[]): Promise<JobState> {
  const { exitCode, stdout } = await host.virsh.attempt(['domjobinfo', domain, ...options, '--rawstats']);
  // A machine that is off has no job.
  if (exitCode !== 0)
    return { state: 'none', backup: false, doneBytes: undefined, totalBytes: undefined, problem: undefined };
  return parseJob(stdout);
}

/** Ends the job that writes `file`, if there is one; returns when it is gone. @throws VmcError 'timeout'. */
export async function abortLiveCopy(host: Host, domain: string, file: string): Promise<void> {
  const ended = await waitFor({
    done: async () => {
      const { exitCode, stdout } = await host.virsh.attempt(['backup-dumpxml', domain]);
      return exitCode !== 0 || !stdout.includes(`'${file}'`);
    },
    request: async () => {
      await host.virsh.attempt(['domjobabort', domain]); // it may just have ended by itself
    },
    listen: (seconds) => nextEvent(host.virsh, 'job-completed', domain, Math.min(seconds, LOOK_SECONDS)),
    now: () => performance.now(),
    deadlineMs: ABORT_DEADLINE_MS,
    repeatMs: ABORT_REPEAT_MS,
  });
  if (!ended) throw new VmcError('timeout', `${domain} does not end its backup job.`, `virsh domjobabort ${domain}`);
}
