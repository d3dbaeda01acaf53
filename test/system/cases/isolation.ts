/** Isolation: what a VM reaches, whatever root does in it. */
import type { Test } from 'tap';
import { ADDRESSES } from '../../../lab/namespaces.ts';
import type { VmSite } from '../support/vm-site.ts';

export function isolationCases(t: Test, { vm }: VmSite): void {
  const reach = async (host: string, port: number) =>
    (await vm.json<{ reached: boolean }>('GET', `/reach?host=${host}&port=${port}`)).reached;

  t.test(
    'H4, H5: the VM reaches the backend and nothing else, also after root in it has flushed its own firewall',
    async (t) => {
      const check = async (t: { equal(found: unknown, wanted: unknown, name: string): void }) => {
        t.equal(await reach(ADDRESSES.backendForVmhost, 8443), true, 'the backend');
        t.equal(await reach(ADDRESSES.backendForVmhost, 6000), false, 'another port of the backend');
        t.equal(await reach(ADDRESSES.user, 22), false, "a user's device");
        t.equal(await reach(ADDRESSES.vmhost, 20000), false, 'a forwarded port of its own host');
        t.equal(await reach('10.92.0.1', 53), true, 'DNS of its host');
        t.equal(await reach('10.92.0.1', 22), false, 'another port of its host');
      };
      await check(t);
      t.equal((await vm.json<{ status: number }>('POST', '/flush-firewall')).status, 0);
      await check(t);
    },
  );
}
