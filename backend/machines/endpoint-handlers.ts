/** Endpoints: a port for one person, from one address, to port 22 of a VM that they may reach (B3). */
import { VmcError } from '../../shared/errors.ts';
import { type Handlers, unauthenticated } from '../rest/handler.ts';
import { isAdmin } from '../rest/sessions.ts';
import type { VmRow } from '../store/vms.ts';
import { type MachineDeps, reachableVm } from './deps.ts';
import { mayReach } from './reach.ts';

type EndpointHandlers = Pick<Handlers, 'endpointOpen' | 'endpointList' | 'endpointClose'>;

export function endpointHandlers(deps: MachineDeps): EndpointHandlers {
  const { store, endpoints, now } = deps;
  return {
    async endpointOpen({ params: { vmId } }, request) {
      const { account, session } = request.caller;
      const vm = reachableVm(store, account, vmId);
      const status = deps.links.vmStatus(vm.hostId, vmId);
      if (status?.state !== 'running' || targetOf(deps, vm) === undefined)
        throw new VmcError(
          'wrong-state',
          `The VM ${vm.name} cannot be reached: ${status === undefined ? 'its host has not reported it' : `it is ${status.state}`}.`,
          'Start it, and wait until it is ready: connect vm list',
        );
      const { userId } = account;
      // Asked once more for each stream: what took somebody's way to the VM also closes their endpoints, but must not have to.
      const mayStill = () => store.sessions.isOpen(session.id, now()) && mayReach(store, userId, vmId);
      if (!mayStill()) throw unauthenticated(); // the session ended while this request arrived
      return endpoints.open({
        userId,
        sessionId: session.id,
        vmId,
        sourceAddress: request.address,
        expiresAt: session.expiresAt,
        target: () => (mayStill() ? targetOf(deps, vm) : undefined),
      });
    },

    async endpointList(_input, { account }) {
      const all = endpoints.list();
      return { endpoints: isAdmin(account) ? all : all.filter((it) => it.userId === account.userId) };
    },

    async endpointClose({ params: { endpointId } }, { account }) {
      const found = endpoints.find(endpointId);
      if (found === undefined || !(found.userId === account.userId || isAdmin(account)))
        throw new VmcError('not-found', `You have no endpoint ${endpointId}.`, 'It may have closed by itself.');
      await endpoints.close(endpointId);
      return {};
    },
  };
}

/** Where the VM's port 22 is forwarded to, as its host last said. */
function targetOf({ store, links }: MachineDeps, vm: VmRow): { host: string; port: number } | undefined {
  const host = store.hosts.get(vm.hostId)?.address;
  const port = links.vmStatus(vm.hostId, vm.vmId)?.hostPort;
  return host === undefined || host === null || port === undefined ? undefined : { host, port };
}
