/** Drives in a folder that several hosts share: a VM on any of them may have one (H3). */
import type { HostReport } from '../../shared/agent-api/index.ts';
import type { HostLinks } from '../hosts/links.ts';

/** Where a host makes drives. */
export const drivesPool = (report: HostReport | undefined) =>
  report?.utilisation.pools.find((pool) => pool.name === 'drives');

/** Both hosts report the same pool of drives. */
export function sharePool(links: Pick<HostLinks, 'report'>, one: string, other: string): boolean {
  const [a, b] = [one, other].map((hostId) => drivesPool(links.report(hostId)));
  return a?.id !== undefined && a.id === b?.id;
}
