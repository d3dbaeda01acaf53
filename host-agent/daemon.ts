/** The daemon: enforces the firewall, reconciles, keeps the link to the backend, reports. */
import { open, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { isErrno, makeFolder } from '../shared/files.ts';
import { errorFields, type Log } from '../shared/log.ts';
import type { Config } from './config.ts';
import { agentDispatcher } from './dispatch.ts';
import { chooseAccelerator } from './domains/accelerator.ts';
import { enforceFirewall } from './firewall/wanted.ts';
import { type Host, makeHost } from './host.ts';
import { nextEvent } from './libvirt/events.ts';
import { keepLink } from './link/link.ts';
import { hostReport } from './link/report.ts';
import { isLibvirtDown, reconcile } from './reconcile.ts';
import { AGENT_VERSION } from './version.ts';
import { StarvedVms } from './vms/starved.ts';

const REPORT_EVERY_MS = 60_000;
const RECONCILE_EVERY_MS = 60 * 60_000;
const LIBVIRT_RETRY_MS = 5000;
const STARVED_EVERY_MS = 10_000;
const DEBOUNCE_MS = 300;
const LISTEN_SECONDS = 55;
const MAX_CONSOLE_LOG_BYTES = 8 * 1024 * 1024;

/** Runs until `signal` is aborted. @throws when the firewall cannot be enforced: no agent without walls. */
export async function runDaemon(config: Config, log: Log, signal: AbortSignal): Promise<void> {
  const host = makeHost(config);
  await makeFolder(config.stateDir, 0o700);
  log.info('starting', { version: AGENT_VERSION, stateDir: config.stateDir, libvirt: config.libvirtUri });
  const drift = await enforceFirewall(host);
  if (drift.length > 0) log.info('firewall-applied', { drift });

  let reportDue: NodeJS.Timeout | undefined;
  const changed = () => {
    reportDue ??= setTimeout(() => {
      reportDue = undefined;
      link.report().catch((error) => log.warn('report-failed', errorFields(error)));
    }, DEBOUNCE_MS);
  };
  const handle = agentDispatcher(host, (method, change, error) => {
    if (error !== undefined) log.warn('refused', { method, ...errorFields(error) });
    else if (change) log.info('done', { method });
    if (change) changed();
  });
  const link = keepLink({ config, log, handle, report: () => hostReport(host), random: Math.random }, signal);

  const starved = new StarvedVms(host, log, changed);
  const lookForStarved = () =>
    starved.look().catch((error) => {
      if (!isLibvirtDown(error)) log.warn('starved-not-seen', errorFields(error));
    });
  const domainChanged = () => {
    changed();
    void lookForStarved();
  };

  await Promise.all([
    link.ended,
    // Tried now, so that the first VM does not wait for it.
    chooseAccelerator(host, signal).then(
      (accelerator) => log.info('accelerator', { accelerator }),
      (error) => log.error('accelerator-unknown', errorFields(error)),
    ),
    every(RECONCILE_EVERY_MS, signal, () => reconcileAndLog(host, log)),
    every(REPORT_EVERY_MS, signal, async () => {
      changed();
      await cutConsoleLogs(host, log);
    }),
    every(STARVED_EVERY_MS, signal, lookForStarved),
    watchLibvirt(host, log, domainChanged, signal),
  ]);
  clearTimeout(reportDue);
  log.info('stopped');
}

/** At once, then again and again. `work` handles its own failures. */
async function every(ms: number, signal: AbortSignal, work: () => Promise<void>): Promise<void> {
  while (!signal.aborted) {
    await work();
    await delay(ms, undefined, { signal }).catch(() => {});
  }
}

async function reconcileAndLog(host: Host, log: Log): Promise<void> {
  try {
    for (const finding of await reconcile(host, false)) {
      const { outcome, ...fields } = finding;
      if (outcome === 'repaired') log.info('reconciled', fields);
      else log.warn('reconcile-needs-a-person', fields);
    }
  } catch (error) {
    log.error('reconcile-failed', errorFields(error));
  }
}

/** Reports on every change of a domain; reconciles when libvirt comes back or a network of it was restarted. */
async function watchLibvirt(host: Host, log: Log, changed: () => void, signal: AbortSignal): Promise<void> {
  let down = false;
  while (!signal.aborted) {
    try {
      await nextEvent(host.virsh, 'lifecycle', undefined, LISTEN_SECONDS, signal);
      if (down) await reconcileAndLog(host, log);
      down = false;
      changed();
    } catch (error) {
      if (signal.aborted) return;
      if (!down) log.error('libvirt-down', errorFields(error));
      down = true;
      changed();
      await delay(LIBVIRT_RETRY_MS, undefined, { signal }).catch(() => {});
    }
  }
}

/** A guest can write to its console for ever. virtlogd rotates the file; where libvirt runs without it, it is cut here. */
async function cutConsoleLogs(host: Host, log: Log): Promise<void> {
  const folder = join(host.config.stateDir, 'console');
  try {
    for (const name of await readdir(folder)) {
      const file = await open(join(folder, name), 'r+');
      try {
        if ((await file.stat()).size > MAX_CONSOLE_LOG_BYTES) {
          await file.truncate(0); // QEMU appends: it goes on at the new end
          log.warn('console-log-cut', { name });
        }
      } finally {
        await file.close();
      }
    }
  } catch (error) {
    if (!isErrno(error, 'ENOENT')) log.warn('console-log-not-cut', errorFields(error));
  }
}
