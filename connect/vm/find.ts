/** The VM that a person means, and waiting for one. */
import { setTimeout as delay } from 'node:timers/promises';
import { VmcError } from '../../shared/errors.ts';
import { routes } from '../../shared/rest-api/index.ts';
import type { Vm } from '../../shared/rest-api/machines.ts';
import { checkMeaning } from '../known-vms.ts';
import { progressLine } from '../progress.ts';
import { resolve } from '../resolve.ts';
import { ask, type Session } from '../session.ts';

/** By name or id. @throws VmcError 'not-found'; 'identity-changed' when the name meant another VM on this device. */
export async function findVm(session: Session, wanted: string): Promise<Vm> {
  const { vms } = await ask(session, routes.vmList, { params: {}, body: {} });
  // An administrator sees everybody's VMs; a name means one's own first.
  const own = vms.filter((vm) => vm.ownerId === session.user.userId);
  const named = own.some((vm) => vm.name === wanted) ? own : vms;
  const vm = resolve(named, ({ vmId }) => vmId, wanted, 'VM');
  if (vm.ownerId !== session.user.userId && vm.vmId !== wanted)
    checkMeaning(await session.folder.knownVms(), vm, wanted);
  return vm;
}

export function getVm(session: Session, vmId: string): Promise<Vm> {
  return ask(session, routes.vmGet, { params: { vmId }, body: {} });
}

/** At first, doubled each time. */
const FIRST_POLL_MS = 125;
const SLOWEST_POLL_MS = 1_000;

/**
 * Waits until the VM is connected to the relay. The REST interface has no events, so it is asked again, once a second at most.
 * @throws VmcError 'timeout', 'cancelled', or 'wrong-state' when the VM cannot come up any more.
 */
export async function waitUntilReady(session: Session, vm: Vm, timeoutSeconds: number): Promise<Vm> {
  const started = performance.now();
  const line = progressLine(session.io);
  try {
    let wait = FIRST_POLL_MS;
    for (let now = vm; ; now = await getVm(session, vm.vmId)) {
      if (now.ready) return now;
      if (now.problem !== undefined)
        throw new VmcError(
          'wrong-state',
          `The VM ${vm.name} did not come up: ${now.problem}`,
          'connect vm show has more.',
        );
      const seconds = Math.round((performance.now() - started) / 1000);
      if (seconds >= timeoutSeconds)
        throw new VmcError(
          'timeout',
          `The VM ${vm.name} was not ready within ${timeoutSeconds} s (state: ${now.state}).`,
          'It may still come up: connect vm list. The console log on its host says more.',
        );
      line.show({ step: `${vm.name}: ${now.state}, not ready yet, ${seconds} s` });
      await pause(session, wait);
      wait = Math.min(wait * 2, SLOWEST_POLL_MS);
    }
  } finally {
    line.end();
  }
}

async function pause({ io: { signal } }: Session, milliseconds: number): Promise<void> {
  try {
    await delay(milliseconds, undefined, { signal });
  } catch (error) {
    signal.throwIfAborted();
    throw error;
  }
}
