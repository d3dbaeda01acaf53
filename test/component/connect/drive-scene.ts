/** Two people, a VM that both may use, and what the backend has stored for a drive: the scene of the tests of drives. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import { BackendClient } from '../../../shared/backend-client/client.ts';
import type { Identity } from '../../../shared/identity/identity.ts';
import { unsealIdentity } from '../../../shared/identity/sealed.ts';
import type { FakeVm } from './fake-vm.ts';
import { PASSPHRASE, type Person, startWorld, type World } from './fake-world.ts';

export interface Someone extends Person {
  name: string;
  print: string;
  identity: Identity;
}

export interface Scene {
  world: World;
  vm: FakeVm;
  ada: Someone;
  /** Let into the VM, with the right `drives`. */
  bob: Someone;
  /** With ada's key pinned by neither, and not in the VM. */
  eve: Someone;
  /** A drive of ada's, attached to the VM and formatted. @returns its id. */
  drive(name: string, fileSystem?: string): Promise<string>;
  /** A session of one's own at the backend. */
  signedIn<T>(who: Someone, use: (client: BackendClient) => Promise<T>): Promise<T>;
}

async function someone(name: string, person: Person): Promise<Someone> {
  const print = (await person.ok('fingerprint')).io.output().trim();
  const sealed = readFileSync(join(person.folder, 'identity.json'), 'utf8');
  const identity = await unsealIdentity(sealed, new TextEncoder().encode(PASSPHRASE));
  return { ...person, name, print, identity };
}

export async function driveScene(t: Test): Promise<Scene> {
  const world = await startWorld(t);
  const ada = await someone('ada', await world.admin('ada'));
  await world.addHost(ada);
  await ada.ok('vm', 'create', 'lab', '--image', 'debian12', '--wait');
  const account = async (name: string) => {
    const person = await world.person();
    const code = (await ada.ok('user', 'invite')).io.output().trim();
    await person.ok('claim', '--backend', world.url, '--pin', world.pin, '--name', name, '--code', code);
    return someone(name, person);
  };
  const bob = await account('bob');
  const eve = await account('eve');
  await ada.ok('vm', 'people', 'add', 'lab', 'bob', '--rights', 'drives', '--fingerprint', bob.print);
  return {
    ...{ world, ada, bob, eve, vm: world.vms.get('lab') as FakeVm },
    async drive(name, fileSystem = 'ext4') {
      const made = await ada.ok('drive', 'create', name, '--size', '64MiB', '--json');
      await ada.ok('drive', 'attach', name, 'lab');
      await ada.ok('drive', 'format', name, '--fs', fileSystem);
      return made.json<{ driveId: string }>().driveId;
    },
    async signedIn(who, use) {
      const client = new BackendClient({ url: world.url, pin: world.pin });
      try {
        await client.signIn(who.identity);
        return await use(client);
      } finally {
        await client.signOut();
        client.close();
      }
    },
  };
}
