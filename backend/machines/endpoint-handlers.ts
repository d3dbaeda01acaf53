/** Endpoints: a port for one person, from one address, to port 22 of a VM that they may reach (B3). */
import { VmcError } from '../../shared/errors.ts';
import type { Handlers } from '../rest/handler.ts';
import type { VmRow } from '../store/vms.ts';
import { type MachineDeps, reachableVm } from './deps.ts';

type EndpointHandlers = Pick<Handlers, 'endpointOpen' | 'endpointClose'>;

export function endpointHandlers(deps: MachineDeps): EndpointHandlers {
  const { store, endpoints } = deps;
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
      const sourceAddress = request.address;
      const opened = await endpoints.open({
        userId: account.userId,
        sessionId: session.id,
        vmId,
        sourceAddress,
        expiresAt: session.expiresAt,
        target: () => targetOf(deps, vm),
      });
      return { ...opened, sourceAddress };
    },

    async endpointClose({ params: { endpointId } }, { account }) {
      if (endpoints.find(endpointId)?.userId !== account.userId)
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
