/** Which host gets a new VM or drive. */
import type { HostReport } from '../../shared/agent-api/index.ts';
import { VmcError } from '../../shared/errors.ts';
import type { HostLinks } from '../hosts/links.ts';
import type { HostRow } from '../store/hosts.ts';
import type { Store } from '../store/store.ts';
import { drivesPool } from './shared-pool.ts';

/** For a VM: the host asked for, else the active one with the most free memory. @throws VmcError 'not-found', 'unreachable'. */
export function pickHostForVm(store: Store, links: HostLinks, asked: string | undefined): HostRow {
  return asked === undefined
    ? best(store, links, (report) => report.utilisation.memoryFreeBytes)
    : activeHost(store, links, asked);
}

/** For a drive: the host asked for, else where the person's newest VM is, else the one with the most room. */
export function pickHostForDrive(store: Store, links: HostLinks, asked: string | undefined, userId: string): HostRow {
  if (asked !== undefined) return activeHost(store, links, asked);
  const newest = store.vms.ownedBy(userId).findLast((vm) => links.isLinked(vm.hostId));
  if (newest !== undefined) return activeHost(store, links, newest.hostId);
  return best(store, links, (report) => drivesPool(report)?.freeBytes ?? 0);
}

function activeHost(store: Store, links: HostLinks, hostId: string): HostRow {
  const host = store.hosts.get(hostId);
  if (host === undefined)
    throw new VmcError('not-found', `There is no host ${hostId}.`, 'Hosts are shown by: connect host list');
  if (!links.isLinked(hostId))
    throw new VmcError(
      'unreachable',
      `The agent of host ${host.name} is not connected.`,
      'Is the host up? On it, `host-agent doctor` says what is wrong.',
    );
  return host;
}

function best(store: Store, links: HostLinks, room: (report: HostReport) => number): HostRow {
  const rate = ({ hostId }: HostRow): number => {
    const report = links.report(hostId);
    return report === undefined ? -1 : room(report);
  };
  const [first] = store.hosts
    .list()
    .filter((host) => links.isLinked(host.hostId))
    .sort((a, b) => rate(b) - rate(a));
  if (first !== undefined) return first;
  throw new VmcError(
    'unreachable',
    'No VM host is connected.',
    'Add one (connect host add) and start its agent, or see why it is down: connect host list',
  );
}
