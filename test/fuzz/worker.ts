/** A thread that runs one job after the other. Started by fuzz.ts. */
import { readlinkSync } from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';
import { Engine } from './engine.ts';
import type { FromWorker, Job } from './job.ts';
import { Slot } from './slot.ts';

const slot = new Slot((workerData as { memory: SharedArrayBuffer }).memory);
const tell = (message: FromWorker) => parentPort?.postMessage(message);

parentPort?.on('message', async (job: Job) => {
  const { findTarget } = await import('./targets/index.ts');
  const target = await findTarget(job.target);
  const parser = await target.open();
  slot.start();
  const result = await new Engine(target, parser, job, slot, (finding) => tell({ kind: 'finding', finding })).run();
  slot.stop();
  await parser.close?.();
  tell({ kind: 'done', result });
});
// PID/task/TID: under this name the kernel counts what this thread uses.
tell({ kind: 'ready', thread: readlinkSync('/proc/thread-self') });
