/**
 * People of a VM, as far as the backend knows them. The owner may add and remove everybody. Who may invite adds people, and
 * removes those whom they added or who may not invite. Everybody may remove themselves.
 */
import { VmcError } from '../../shared/errors.ts';
import type { Handlers } from '../rest/handler.ts';
import { type Account, identityOf } from '../store/accounts.ts';
import type { VmRow } from '../store/vms.ts';
import { type MachineDeps, reachableVm } from './deps.ts';

/** As many as a VM itself takes. */
const MAX_PEOPLE = 500;

type PeopleHandlers = Pick<Handlers, 'vmPeopleList' | 'vmPersonPut' | 'vmPersonRemove'>;

export function peopleHandlers({ store, endpoints, now }: MachineDeps): PeopleHandlers {
  /** @throws VmcError 'not-found' for a VM that is not the caller's to see, 'forbidden'. */
  const whereMayInvite = (account: Account, vmId: string): VmRow => {
    const vm = reachableVm(store, account, vmId);
    if (vm.ownerId === account.userId || store.vmPeople.get(vmId, account.userId)?.mayInvite === true) return vm;
    throw new VmcError('forbidden', `You may not say who reaches the VM ${vm.name}.`, 'Ask its owner.');
  };
  /** @throws VmcError 'forbidden' unless the caller may change what is there for this person. */
  const requireSayOver = (account: Account, vm: VmRow, userId: string): void => {
    const there = store.vmPeople.get(vm.vmId, userId);
    const { userId: caller } = account;
    if (vm.ownerId === caller || there === undefined || !there.mayInvite || there.addedBy === caller) return;
    throw new VmcError('forbidden', 'Only the owner of the VM, or who added them, can change this person.');
  };
  return {
    async vmPeopleList({ params: { vmId } }, { account }) {
      whereMayInvite(account, vmId);
      const people = store.vmPeople.ofVm(vmId).flatMap(({ userId, mayInvite, addedBy, addedAt }) => {
        const found = store.accounts.get(userId);
        return found === undefined
          ? []
          : [{ userId, name: found.name, identity: identityOf(found), mayInvite, addedBy, addedAt }];
      });
      return { people };
    },

    async vmPersonPut({ params: { vmId, userId }, body: { mayInvite } }, request) {
      const { account } = request;
      request.target = `${vmId} ${userId}`;
      const vm = whereMayInvite(account, vmId);
      if (store.accounts.get(userId) === undefined)
        throw new VmcError('not-found', `There is no account ${userId}.`, 'Accounts are shown by: connect user list');
      if (userId === vm.ownerId) throw new VmcError('already-exists', `The VM ${vm.name} is theirs.`);
      requireSayOver(account, vm, userId);
      if (store.vmPeople.get(vmId, userId) === undefined && store.vmPeople.ofVm(vmId).length >= MAX_PEOPLE)
        throw new VmcError('limit', `A VM has at most ${MAX_PEOPLE} people.`);
      store.vmPeople.put({ vmId, userId, mayInvite, addedBy: account.userId, addedAt: now() });
      return {};
    },

    async vmPersonRemove({ params: { vmId, userId } }, request) {
      const { account } = request;
      request.target = `${vmId} ${userId}`;
      if (userId === account.userId) reachableVm(store, account, vmId);
      else requireSayOver(account, whereMayInvite(account, vmId), userId);
      store.vmPeople.remove(vmId, userId);
      await endpoints.closeOfPerson(vmId, userId);
      return {};
    },
  };
}
