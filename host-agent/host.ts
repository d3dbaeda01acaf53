/** What every feature here works with: configuration, state, locks, libvirt. */
import { join } from 'node:path';
import { faultPoint } from '../shared/fault-point.ts';
import type { Config } from './config.ts';
import type { FaultPoint } from './fault-points.ts';
import { Virsh } from './libvirt/virsh.ts';
import { Locks } from './state/locks.ts';
import { driveRecordSchema, Records, vmRecordSchema } from './state/records.ts';

export interface Host {
  readonly config: Config;
  readonly virsh: Virsh;
  readonly locks: Locks;
  readonly vms: Records<typeof vmRecordSchema>;
  readonly drives: Records<typeof driveRecordSchema>;
  /** Milliseconds since 1970. */
  now(): number;
  /** Called between two steps of every change: where a test ends the process, to see what a crash leaves. */
  step(name: FaultPoint): Promise<void>;
}

export function makeHost(config: Config, options: Partial<Pick<Host, 'now' | 'step'>> = {}): Host {
  const { stateDir } = config;
  return {
    config,
    virsh: new Virsh(config.libvirtUri, join(stateDir, 'tmp')),
    locks: new Locks(join(stateDir, 'locks')),
    vms: new Records(join(stateDir, 'vms'), vmRecordSchema),
    drives: new Records(join(stateDir, 'drives'), driveRecordSchema),
    now: options.now ?? Date.now,
    step: options.step ?? faultPoint,
  };
}

export const consoleLogPath = (host: Host, vmId: string): string =>
  join(host.config.stateDir, 'console', `${vmId}.log`);

export const overlayPath = (host: Host, vmId: string): string => join(host.config.pools.drives, `${vmId}-root.qcow2`);
