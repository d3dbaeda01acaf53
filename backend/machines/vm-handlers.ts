/** VMs: making, power, deleting, enrolling. */
import { agentMethods } from '../../shared/agent-api/index.ts';
import { utf8 } from '../../shared/bytes.ts';
import { publicError, VmcError } from '../../shared/errors.ts';
import { publicIdentityToJson } from '../../shared/identity/public-identity.ts';
import { verifyStatement } from '../../shared/identity/statement.ts';
import { toBase64 } from '../../shared/names.ts';
import { statementContexts } from '../../shared/relay-wire.ts';
import { enrolledAlready, refusedEnrolment } from '../hosts/handlers.ts';
import type { Handlers } from '../rest/handler.ts';
import { isAdmin } from '../rest/sessions.ts';
import { identityOf } from '../store/accounts.ts';
import { makeId, makeToken, matchesHash, sha256 } from '../store/hashes.ts';
import type { VmRow } from '../store/vms.ts';
import { type MachineDeps, ownVm, poweredVm, visibleVm, vmKey } from './deps.ts';
import { describeVm } from './describe.ts';
import { pickHostForVm } from './pick-host.ts';

const CREATE_TIMEOUT_MS = 600_000;
/** Beyond the time that the guest is given. */
const SHUTDOWN_EXTRA_MS = 60_000;

type VmHandlers = Pick<Handlers, 'vmCreate' | 'vmList' | 'vmGet' | 'vmStart' | 'vmShutdown' | 'vmDelete' | 'vmEnrol'>;

export function vmHandlers(deps: MachineDeps): VmHandlers {
  const { store, links, mutex, now } = deps;
  const describe = (vmId: string) => {
    const vm = store.vms.get(vmId);
    if (vm === undefined) throw new VmcError('not-found', 'The VM was deleted meanwhile.');
    return describeVm(vm, deps);
  };
  return {
    async vmCreate({ body }, request) {
      const { account } = request;
      if (store.vms.countOf(account.userId) >= deps.limits.vmsPerUser)
        throw new VmcError('limit', `You have ${deps.limits.vmsPerUser} VMs, and may not have more.`, 'Delete one.');
      const host = pickHostForVm(store, links, body.hostId);
      const { name, image, cores, memoryMiB } = body;
      const vmId = makeId('vm-', 6);
      const token = makeToken();
      const { hostId } = host;
      request.target = vmId;
      const spec = { vmId, image, cores, memoryMiB };
      await mutex.run(vmKey(vmId), async () => {
        const row = { name, ownerId: account.userId, hostId, ...spec, tokenHash: sha256(token), createdAt: now() };
        store.vms.add(row);
        try {
          const bootstrap = {
            version: 1 as const,
            vm: { id: vmId, name },
            backend: { url: deps.publicUrl(), pin: deps.pin },
            owner: identityOf(account),
            enrolToken: toBase64(token),
          };
          const options = { timeoutMs: CREATE_TIMEOUT_MS };
          links.learn(hostId, await links.call(hostId, agentMethods.vmCreate, { spec, bootstrap }, options));
          store.vms.setMade(vmId);
        } catch (error) {
          store.vms.setProblem(vmId, publicError(error).message);
          throw error;
        }
      });
      return describe(vmId);
    },

    async vmList(_input, { account }) {
      await deps.presence.refresh();
      const shared = () => store.vmPeople.vmsOf(account.userId).flatMap((vmId) => store.vms.get(vmId) ?? []);
      const vms = isAdmin(account) ? store.vms.list() : [...store.vms.ownedBy(account.userId), ...shared()];
      return { vms: vms.map((vm) => describeVm(vm, deps)) };
    },

    async vmGet({ params }, { account }) {
      await deps.presence.refresh();
      return describeVm(visibleVm(store, account, params.vmId), deps);
    },

    async vmStart({ params: { vmId } }, { account }) {
      const vm = requireMade(poweredVm(store, account, vmId));
      await mutex.run(vmKey(vmId), async () =>
        links.learn(vm.hostId, await links.call(vm.hostId, agentMethods.vmStart, { vmId })),
      );
      return describe(vmId);
    },

    async vmShutdown({ params: { vmId }, body: { waitSeconds, force } }, { account }) {
      const vm = poweredVm(store, account, vmId);
      const options = { timeoutMs: waitSeconds * 1000 + SHUTDOWN_EXTRA_MS };
      await mutex.run(vmKey(vmId), async () => {
        const params = { vmId, waitSeconds, force };
        links.learn(vm.hostId, await links.call(vm.hostId, agentMethods.vmShutdown, params, options));
      });
      return describe(vmId);
    },

    async vmDelete({ params: { vmId } }, { account }) {
      const vm = ownVm(store, account, vmId);
      await mutex.run(vmKey(vmId), async () => {
        if (store.vms.get(vmId) === undefined) return; // somebody was faster
        if (vm.phase === 'creating') await ignoreAbsent(cutPower(deps, vm));
        await ignoreAbsent(links.call(vm.hostId, agentMethods.vmDelete, { vmId }));
        store.vms.remove(vmId);
        links.learn(vm.hostId, { vmId, state: 'absent', attached: [] });
      });
      deps.relay.drop(vmId);
      await deps.endpoints.closeOfVm(vmId);
      return {};
    },

    async vmEnrol({ body: { vmId, enrolToken, identity, signature } }, request) {
      const vm = store.vms.get(vmId);
      const { ed25519, x25519, mlkem768 } = identity;
      const parts = [enrolToken, utf8(vmId), ed25519, x25519, mlkem768];
      if (
        vm === undefined ||
        !matchesHash(enrolToken, vm.tokenHash) ||
        !verifyStatement(ed25519, statementContexts.enrolVm, parts, signature)
      )
        throw refusedEnrolment();
      request.actor = vmId;
      request.target = vmId;
      const keys = { ed25519, identity: JSON.stringify(publicIdentityToJson(identity)) };
      if (!store.vms.enrol(vmId, keys)) throw enrolledAlready('VM');
      return deps.office.access({ vmId, ownerId: vm.ownerId, ed25519 });
    },
  };
}

/** A VM that was only half made may run or not: it has no guest that anyone uses yet. */
async function cutPower({ links }: MachineDeps, { hostId, vmId }: VmRow): Promise<void> {
  try {
    await links.call(hostId, agentMethods.vmShutdown, { vmId, waitSeconds: 0, force: true });
  } catch (error) {
    if (!(error instanceof VmcError && error.code === 'wrong-state')) throw error; // off already
  }
}

/** What is gone need not be removed. */
export async function ignoreAbsent(work: Promise<unknown>): Promise<void> {
  try {
    await work;
  } catch (error) {
    if (!(error instanceof VmcError && error.code === 'not-found')) throw error;
  }
}

function requireMade(vm: VmRow): VmRow {
  if (vm.phase === 'made') return vm;
  throw new VmcError(
    'wrong-state',
    `The VM ${vm.name} was not made completely${vm.problem === null ? '' : `: ${vm.problem}`}`,
    'Delete it and make it again.',
  );
}
