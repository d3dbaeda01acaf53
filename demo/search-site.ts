/** Searches the whole site for secrets, and plants a text in every kind of place first, so that the search can fail. */
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Site } from '../lab/site.ts';
import type { UserDevice } from '../lab/user-device.ts';
import type { Undo } from '../shared/undo.ts';
import type { DemoReport } from './report.ts';
import { type Secret, SecretSearch } from './secret-search.ts';
import type { VmProgram } from './vm-program-client.ts';

/** One text for each kind of place; the search must find each in its own kind. */
export interface Planted {
  relay: Secret;
  pools: Secret;
  hostLogs: Secret;
  hostProcesses: Secret;
  vmLogs: Secret;
  vmProcesses: Secret;
}

const PLACES = ['relay', 'pools', 'hostLogs', 'hostProcesses', 'vmLogs', 'vmProcesses'] as const;

const text = (secret: Secret) => Buffer.from(secret.bytes).toString('utf8');

export async function plantEverywhere(
  site: Site,
  user: UserDevice,
  vmId: string,
  vm: VmProgram,
  undo: Undo,
): Promise<Planted> {
  const planted = Object.fromEntries(
    PLACES.map((place) => [place, { name: `planted: ${place}`, bytes: Buffer.from(randomBytes(24).toString('hex')) }]),
  ) as unknown as Planted;

  // a person who speaks to the relay in the clear, past the channel: the relay passes it on, vmc closes at once
  await speakInTheClear(site, user, vmId, planted.relay.bytes);
  await writeFile(join(site.folders.drives, 'planted'), planted.pools.bytes);
  undo.add('the planted file', () => rm(join(site.folders.drives, 'planted'), { force: true }));
  // what someone asks for lands in the log of the backend
  await user.curl(['--insecure', `${site.backendUrlForUser}/v1/${text(planted.hostLogs)}`]).catch(() => {}); // 404, which is logged
  const child = spawn('sleep', ['600'], { env: { PLANTED: text(planted.hostProcesses) }, stdio: 'ignore' });
  child.unref(); // `--keep` ends without it
  undo.add('the planted process', () => void child.kill('SIGKILL'));
  await once(child, 'spawn');
  await site.lab.addProcess(child.pid as number);
  await vm.request('POST', '/plant-in-log', planted.vmLogs.bytes);
  await vm.request('POST', '/plant-in-process', planted.vmProcesses.bytes);
  return planted;
}

/** Every form of every secret, in all that others than the user and the VM's own memory can see. */
export async function searchEverywhere(
  site: Site,
  vm: VmProgram,
  planted: Planted,
  secrets: readonly Secret[],
): Promise<NonNullable<DemoReport['secrets']>> {
  const search = new SecretSearch([...secrets, ...PLACES.map((place) => planted[place])]);
  let places = 0;
  const foundIn: Partial<Record<keyof Planted, boolean>> = {};
  const look = async (place: keyof Planted, work: () => Promise<number>) => {
    const before = search.of(planted[place].name).length;
    places += await work();
    foundIn[place] = search.of(planted[place].name).length > before;
  };
  await look('relay', async () => {
    await search.file(site.folders.capture);
    return 1;
  });
  await look(
    'pools',
    async () => (await search.folder(site.folders.images)) + (await search.folder(site.folders.drives)),
  );
  await look('hostLogs', async () => search.folder(site.folders.logs));
  await look('hostProcesses', () => search.processes());
  await look('vmLogs', async () => {
    search.text('logs in the VM', await vm.request('GET', '/logs'));
    return 1;
  });
  await look('vmProcesses', async () => {
    search.text('processes in the VM', await vm.request('GET', '/processes'));
    return 1;
  });
  places += (await search.folder(site.folders.backend)) + (await search.folder(site.folders.agent)); // databases, records, consoles
  const findings = search.findings.filter(({ secret }) => secrets.some(({ name }) => name === secret));
  return {
    planted: PLACES.every((place) => foundIn[place] === true),
    found: findings.length,
    findings,
    places,
    bytes: search.bytes,
  };
}

/** A person's own websocket to the relay, without a channel in it: the relay passes it on, vmc refuses it. */
async function speakInTheClear(site: Site, user: UserDevice, vmId: string, bytes: Uint8Array): Promise<void> {
  await user.node(
    join(import.meta.dirname, 'speak-in-the-clear.ts'),
    [site.backendUrlForUser, site.pin, vmId, user.configFolder],
    Buffer.from(JSON.stringify({ passphrase: user.passphrase, text: Buffer.from(bytes).toString('utf8') })),
  );
}
