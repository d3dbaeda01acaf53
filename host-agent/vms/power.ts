/** Starting and stopping. */
import type { VmStatus } from '../../shared/agent-api/index.ts';
import { VmcError } from '../../shared/errors.ts';
import { CommandError } from '../../shared/run.ts';
import { type Domain, inspectDomain } from '../domains/inventory.ts';
import { requireDrivesAlone } from '../drives/alone.ts';
import { inUse } from '../drives/file-holders.ts';
import { imageTrouble } from '../drives/parse-qemu-img.ts';
import { enforceFirewall } from '../firewall/wanted.ts';
import type { Host } from '../host.ts';
import { nextEvent, waitFor } from '../libvirt/events.ts';
import { backendEndpoint } from '../network/backend-endpoint.ts';
import { ensureNetwork } from '../network/network.ts';
import { enforceReservations } from './parts.ts';
import { requireDomain, vmStatus } from './status.ts';

/** A guest that is still booting does not hear the power button; one that is stopping ignores a second press. */
const PRESS_EVERY_MS = 8000;

/** Succeeds when it runs already. @throws VmcError 'not-found', 'wrong-state' (paused), 'libvirt-down'. */
export function startVm(host: Host, vmId: string): Promise<VmStatus> {
  return host.locks.hold([vmId], async () => {
    const domain = await requireDomain(host, vmId);
    if (domain.state === 'paused')
      throw new VmcError(
        'wrong-state',
        domain.pausedBecause === 'no-space'
          ? `${vmId} is paused: the drives pool is full.`
          : `${vmId} is paused${domain.pausedBecause === 'io-error' ? ': one of its disks failed' : ''}.`,
        domain.pausedBecause === 'no-space'
          ? 'Free space in the pool: the VM then goes on by itself.'
          : `When the reason is gone: virsh resume ${vmId}`,
      );
    if (domain.state === 'off') {
      // The same order as in making it: nothing runs that is not walled in.
      await ensureNetwork(host.config, host.virsh, await backendEndpoint(host.config));
      await enforceReservations(host);
      await enforceFirewall(host);
      await startDomain(host, domain);
    }
    return vmStatus(host, vmId);
  });
}

/** @throws VmcError 'busy' when another host, or a tool, has one of its disks, 'bad-data' when one leads to other files. */
export async function startDomain(host: Host, { name: vmId, config }: Pick<Domain, 'name' | 'config'>): Promise<void> {
  await requireDrivesAlone(config);
  try {
    await host.virsh.run(['start', vmId]);
  } catch (error) {
    if (!(error instanceof CommandError) || imageTrouble(error.stderr) !== 'locked') throw error;
    const path = /using the image \[([^\]\n]+)\]/.exec(error.stderr)?.[1];
    if (path === undefined) throw error;
    const { message, hint } = await inUse(path, error);
    throw new VmcError('busy', `${vmId} cannot start: ${message}`, hint, { cause: error });
  }
}

/**
 * Presses the power button until the guest is off or `waitSeconds` have passed; then, if forced, cuts its power.
 * @throws VmcError 'timeout' when it still runs.
 */
export function shutdownVm(host: Host, vmId: string, waitSeconds: number, force: boolean): Promise<VmStatus> {
  return host.locks.hold([vmId], async () => {
    await requireDomain(host, vmId);
    const off = await waitFor({
      done: () => isOff(host, vmId),
      request: () => unlessOff(host, vmId, ['shutdown', vmId, '--mode', 'acpi']),
      listen: (seconds) => nextEvent(host.virsh, 'lifecycle', vmId, seconds),
      now: () => performance.now(),
      deadlineMs: waitSeconds * 1000,
      repeatMs: PRESS_EVERY_MS,
    });
    if (!off) {
      if (!force)
        throw new VmcError(
          'timeout',
          `${vmId} did not shut down within ${waitSeconds} s.`,
          'Wait longer, or force it: that cuts its power, and what it has not yet written is lost.',
        );
      await cutPower(host, vmId);
    }
    return vmStatus(host, vmId);
  });
}

/** Off at once; what the guest has not yet written is lost. A machine that is off, or not there, is fine. */
export function cutPower(host: Host, vmId: string): Promise<void> {
  return unlessOff(host, vmId, ['destroy', vmId]);
}

async function isOff(host: Host, vmId: string): Promise<boolean> {
  const state = (await inspectDomain(host.virsh, vmId))?.state;
  return state === 'off' || state === undefined;
}

/** Between the look and the request it may have gone off by itself: that is what was wanted. */
async function unlessOff(host: Host, vmId: string, args: readonly string[]): Promise<void> {
  try {
    await host.virsh.run(args);
  } catch (error) {
    if (!(await isOff(host, vmId))) throw error;
  }
}
