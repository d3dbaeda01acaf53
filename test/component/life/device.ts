/** A person's device in the test's own process: connect's own connection with the VM. */
import type { Test } from 'tap';
import { openControl } from '../../../connect/channel.ts';
import type { Control } from '../../../connect/control.ts';
import { PersonFolder } from '../../../connect/folder.ts';
import { BackendClient } from '../../../shared/backend-client/client.ts';
import type { KeepAliveTimes } from '../../../shared/backend-client/keep-alive.ts';
import { routes } from '../../../shared/rest-api/index.ts';
import type { LifeTimes } from '../../../shared/rpc/peer.ts';
import { type FakeIo, fakeIo } from '../../unit/connect/fake-io.ts';
import type { RealSystem } from './real-system.ts';

/** Signs in and opens the connection. */
export async function device(
  t: Test,
  { address, owner, vmId }: RealSystem,
  { times, life }: { times?: KeepAliveTimes; life?: LifeTimes } = {},
): Promise<{ control: Control; io: FakeIo }> {
  const folder = new PersonFolder(`${t.testdirName}/person`);
  await folder.prepare();
  const io = fakeIo();
  const client = new BackendClient(address, times);
  const { user } = await client.signIn(owner);
  const vm = await client.call(routes.vmGet, { params: { vmId }, body: {} });
  const control = await openControl(
    { io, folder, identity: owner, address, client, user },
    vm,
    life === undefined ? {} : { life },
  );
  t.teardown(async () => {
    await control.close();
    client.close();
  });
  return { control, io };
}
