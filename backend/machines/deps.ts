/** What the flows of VMs, drives and endpoints work with, and who may see which of them. */
import { VmcError } from '../../shared/errors.ts';
import type { KeyedMutex } from '../../shared/keyed-mutex.ts';
import type { Log } from '../../shared/log.ts';
import type { Endpoints } from '../endpoints/endpoints.ts';
import type { HostLinks } from '../hosts/links.ts';
import type { Jobs } from '../jobs/jobs.ts';
import type { Relay } from '../relay/relay.ts';
import { isAdmin } from '../rest/sessions.ts';
import type { Account } from '../store/accounts.ts';
import type { Store } from '../store/store.ts';
import type { VmRow } from '../store/vms.ts';
import type { Presence } from '../tickets/presence.ts';
import type { TicketOffice } from '../tickets/ticket-office.ts';
import { mayReach } from './reach.ts';

export interface MachineDeps {
  store: Store;
  links: HostLinks;
  relay: Relay;
  office: TicketOffice;
  presence: Presence;
  endpoints: Endpoints;
  /** Keys: `vm:ID`, `drive:ID`, `snapshot:ID`. Everything that a host does to one of them happens one at a time. */
  mutex: KeyedMutex;
  /** Long work, under the same locks. What is short asks `whenIdle`, so that nobody waits for hours. */
  jobs: Jobs;
  log: Log;
  now: () => number;
  /** What new VMs are told to connect to, and its pin. */
  publicUrl(): string;
  pin: string;
  limits: { vmsPerUser: number; drivesPerUser: number; snapshotsPerUser: number };
}

export const vmKey = (vmId: string): string => `vm:${vmId}`;
export const driveKey = (driveId: string): string => `drive:${driveId}`;
export const snapshotKey = (snapshotId: string): string => `snapshot:${snapshotId}`;

/** Somebody else's VM looks like one that does not exist, so that ids tell nothing. @throws VmcError 'not-found'. */
export function ownVm(store: Store, account: Account, vmId: string): VmRow {
  const vm = store.vms.get(vmId);
  if (vm === undefined || vm.ownerId !== account.userId) throw noSuch('VM', vmId, 'connect vm list');
  return vm;
}

/** For power: administrators too. @throws VmcError 'not-found'. */
export function poweredVm(store: Store, account: Account, vmId: string): VmRow {
  const vm = isAdmin(account) ? store.vms.get(vmId) : undefined;
  return vm ?? ownVm(store, account, vmId);
}

/** For who goes there: the owner, and people who were added. @throws VmcError 'not-found'. */
export function reachableVm(store: Store, account: Account, vmId: string): VmRow {
  const vm = mayReach(store, account.userId, vmId) ? store.vms.get(vmId) : undefined;
  return vm ?? ownVm(store, account, vmId);
}

/** For looking: administrators too. @throws VmcError 'not-found'. */
export function visibleVm(store: Store, account: Account, vmId: string): VmRow {
  return isAdmin(account) ? poweredVm(store, account, vmId) : reachableVm(store, account, vmId);
}

export const noSuch = (what: string, id: string, command: string) =>
  new VmcError('not-found', `You have no ${what} ${id}.`, `What you have is shown by: ${command}`);
