/** VMs that QEMU has stopped because the drives pool was full go on by themselves when there is space again. */
import type { Log } from '../../shared/log.ts';
import { vmIdSchema } from '../../shared/names.ts';
import { inspectDomain } from '../domains/inventory.ts';
import { poolSpace } from '../drives/pool.ts';
import { reserveBytes } from '../drives/pool-space.ts';
import type { Host } from '../host.ts';
import { isForgotten, mayResume, type Resumed } from './plan-resume.ts';

/** Besides the reserve: with nothing free a VM would stop again at its next write. */
const LEAST_BYTES = 16 * 1024 * 1024;

export class StarvedVms {
  readonly #host: Host;
  readonly #log: Log;
  readonly #changed: () => void;
  readonly #resumed = new Map<string, Resumed>();
  /** VMs that are stopped now, and why, as it was logged. */
  readonly #told = new Map<string, 'no-space' | 'io-error'>();
  #looking: Promise<void> | undefined;

  /** @param changed told when a VM was found stopped, or goes on. */
  constructor(host: Host, log: Log, changed: () => void) {
    this.#host = host;
    this.#log = log;
    this.#changed = changed;
  }

  /** Looks once, and lets those go on that may. A second caller waits for the look that is under way. */
  look(): Promise<void> {
    this.#looking ??= this.#look().finally(() => {
      this.#looking = undefined;
    });
    return this.#looking;
  }

  async #look(): Promise<void> {
    const { virsh, now } = this.#host;
    const paused = (await virsh.run(['list', '--state-paused', '--name'])).split('\n').map((it) => it.trim());
    const ours = paused.filter((name) => vmIdSchema.safeParse(name).success);
    for (const vmId of this.#told.keys()) if (!ours.includes(vmId)) this.#told.delete(vmId);
    for (const [vmId, before] of this.#resumed)
      if (!ours.includes(vmId) && isForgotten(before, now())) this.#resumed.delete(vmId);
    for (const vmId of ours) {
      const because = (await inspectDomain(virsh, vmId))?.pausedBecause;
      if (because === undefined) continue; // a person has paused it
      await this.#tell(vmId, because);
      if (because === 'no-space') await this.#tryResume(vmId);
    }
  }

  async #tell(vmId: string, because: 'no-space' | 'io-error'): Promise<void> {
    if (this.#told.get(vmId) === because) return;
    this.#told.set(vmId, because);
    this.#changed();
    if (because === 'io-error') {
      this.#log.error('vm-paused', { vmId, because, hint: `see the host's kernel log, then: virsh resume ${vmId}` });
      return;
    }
    const { drives } = this.#host.config.pools;
    const { freeBytes } = await poolSpace(drives);
    const hint = 'free some space there: the VM goes on by itself';
    this.#log.warn('vm-paused', { vmId, because, pool: drives, freeBytes, neededBytes: this.#needed(), hint });
  }

  async #tryResume(vmId: string): Promise<void> {
    const { config, virsh, locks, now } = this.#host;
    const { freeBytes } = await poolSpace(config.pools.drives);
    const before = this.#resumed.get(vmId);
    if (!mayResume(before, now(), freeBytes, this.#needed()) || (await locks.isHeld(vmId))) return;
    await locks.hold([vmId], async () => {
      // Somebody else may have dealt with it since.
      if ((await inspectDomain(virsh, vmId))?.pausedBecause !== 'no-space') return;
      this.#resumed.set(vmId, { times: (before?.times ?? 0) + 1, at: now() });
      await virsh.run(['resume', vmId]);
      this.#told.delete(vmId);
      this.#changed();
      this.#log.info('vm-resumed', { vmId, freeBytes });
    });
  }

  #needed(): number {
    return Math.max(reserveBytes(this.#host), LEAST_BYTES);
  }
}
