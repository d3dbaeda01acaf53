/** ISO images of a VM's host: which there are, in and out of the VM. For its owner. */
import { agentMethods } from '../../shared/agent-api/index.ts';
import { VmcError } from '../../shared/errors.ts';
import type { Handlers } from '../rest/handler.ts';
import type { Account } from '../store/accounts.ts';
import type { VmRow } from '../store/vms.ts';
import { type MachineDeps, ownVm, vmKey } from './deps.ts';

/** A guest that boots or is busy takes its time to let a disk go. */
const EJECT_TIMEOUT_MS = 300_000;

type IsoHandlers = Pick<Handlers, 'isoList' | 'isoAttach' | 'isoEject'>;

export function isoHandlers(deps: MachineDeps): IsoHandlers {
  const { store, links, mutex } = deps;
  const madeVm = (account: Account, vmId: string): VmRow => {
    const vm = ownVm(store, account, vmId);
    if (vm.phase !== 'made')
      throw new VmcError('wrong-state', `The VM ${vm.name} was not made completely.`, 'Delete it and make it again.');
    return vm;
  };
  return {
    async isoList({ params: { vmId } }, { account }) {
      const { hostId } = madeVm(account, vmId);
      const [{ isos }, status] = await Promise.all([
        links.call(hostId, agentMethods.isoList, {}),
        links.call(hostId, agentMethods.vmStatus, { vmId }),
      ]);
      const attached = new Set(status.isos);
      return { isos: isos.map((iso) => ({ ...iso, attached: attached.has(iso.isoId) })) };
    },

    async isoAttach({ params: { vmId, isoId } }, { account }) {
      madeVm(account, vmId); // a stranger does not wait for it
      await mutex.run(vmKey(vmId), async () => {
        const { hostId } = madeVm(account, vmId);
        links.learn(hostId, await links.call(hostId, agentMethods.isoAttach, { isoId, vmId }));
      });
      return {};
    },

    async isoEject({ params: { vmId, isoId } }, { account }) {
      madeVm(account, vmId); // a stranger does not wait for it
      await mutex.run(vmKey(vmId), async () => {
        const { hostId } = madeVm(account, vmId);
        const options = { timeoutMs: EJECT_TIMEOUT_MS };
        links.learn(hostId, await links.call(hostId, agentMethods.isoEject, { isoId, vmId }, options));
      });
      return {};
    },
  };
}
