/** Drives in a folder that several hosts share: a VM on any of them may have one (H3). */
import type { HostLinks } from '../hosts/links.ts';

const DRIVES_POOL = 'drives';

/** Both hosts report the same pool of drives. */
export function sharePool(links: Pick<HostLinks, 'report'>, one: string, other: string): boolean {
  const [a, b] = [one, other].map((hostId) =>
    links.report(hostId)?.utilisation.pools.find((pool) => pool.name === DRIVES_POOL),
  );
  return a?.id !== undefined && a.id === b?.id;
}
