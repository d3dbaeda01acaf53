/** What is wrong with this host and what to type about it, on one screen. */
import { constants } from 'node:fs';
import { open, readFile, rm, stat } from 'node:fs/promises';
import { connect } from 'node:net';
import { dirname, join } from 'node:path';
import { errorMessage, VmcError } from '../shared/errors.ts';
import { run } from '../shared/run.ts';
import { poolSpace } from './drives/pool.ts';
import { type PoolName, poolFolders, requirePool } from './drives/pool-marker.ts';
import { checkFirewall } from './firewall/wanted.ts';
import type { Host } from './host.ts';
import { enrolledHostId } from './link/enrolment.ts';
import { libvirtVersion } from './link/report.ts';
import { backendHostPort } from './network/backend-endpoint.ts';

export interface Check {
  name: string;
  ok: boolean;
  found: string;
  hint?: string;
}

const CONNECT_MS = 5000;

export function examine(host: Host): Promise<Check[]> {
  const { config } = host;
  const check = async (name: string, look: () => Promise<string>, hint?: string): Promise<Check> => {
    try {
      return { name, ok: true, found: await look() };
    } catch (error) {
      const advice = (error instanceof VmcError ? error.hint : undefined) ?? hint;
      return { name, ok: false, found: errorMessage(error), ...(advice === undefined ? {} : { hint: advice }) };
    }
  };
  const version = (file: string, args: string[]) => async () =>
    (await run({ file, args, timeoutMs: 10_000 })).stdout.split('\n')[0] ?? '';
  return Promise.all([
    check('libvirt', async () => `version ${await libvirtVersion(host)}`),
    check('qemu-img', version('qemu-img', ['--version']), 'apt-get install qemu-utils'),
    check('iptables', version('iptables', ['--version']), 'apt-get install iptables'),
    check('ipset', version('ipset', ['--version']), 'apt-get install ipset'),
    ...poolFolders(host).map(({ name, folder }) => check(`${name} pool`, () => pool(host, name), `mkdir -p ${folder}`)),
    check('forwarding', forwarding, 'sysctl -w net.ipv4.ip_forward=1'),
    check(
      'firewall',
      async () => {
        const [first, ...more] = await checkFirewall(host);
        if (first !== undefined) throw new Error(`${first}${more.length === 0 ? '' : ` and ${more.length} more`}`);
        return 'as it should be';
      },
      'host-agent firewall apply',
    ),
    check('backend', () => reach(config.backend.url), 'Is it running, and is backend.url in host-agent.toml right?'),
    check('enrolled', () => enrolledHostId(config)),
  ]);
}

async function forwarding(): Promise<string> {
  if ((await readFile('/proc/sys/net/ipv4/ip_forward', 'utf8')).trim() !== '1')
    throw new Error('net.ipv4.ip_forward is off');
  return 'on';
}

/** Is it the one it was? Where the agent writes, opens a file as QEMU would: past the page cache if that is configured. */
async function pool(host: Host, name: PoolName): Promise<string> {
  const { folder, id } = await requirePool(host, name);
  const { freeBytes } = await poolSpace(folder);
  if (name === 'drives' || name === 'snapshots')
    await tryToWrite(folder, name === 'drives' && host.config.pools.cache === 'none');
  const shut = await shutFolder(folder);
  const remark = shut === undefined ? '' : ` (${shut} lets only its owner in: unless QEMU runs as root, chmod o+x it)`;
  return `${folder}${id === undefined ? '' : ` (${id})`}, ${Math.floor(freeBytes / 1024 / 1024)} MiB free${remark}`;
}

async function tryToWrite(folder: string, direct: boolean): Promise<void> {
  const path = join(folder, `.doctor.${process.pid}.tmp`);
  try {
    const flags = constants.O_CREAT | constants.O_EXCL | constants.O_WRONLY;
    const file = await open(path, direct ? flags | constants.O_DIRECT : flags, 0o600);
    await file.close();
  } catch (error) {
    throw new VmcError(
      'bad-config',
      `${folder} cannot be written${direct ? ' with O_DIRECT' : ''}: ${errorMessage(error)}`,
      direct ? 'If its file system knows no O_DIRECT, set pools.cache = "writeback".' : undefined,
    );
  } finally {
    await rm(path, { force: true });
  }
}

/** The first folder on the way that others may not pass: libvirt's QEMU is not root on most hosts, and opens its files by name. */
async function shutFolder(folder: string): Promise<string | undefined> {
  for (let path = folder; ; path = dirname(path)) {
    if (((await stat(path)).mode & 0o001) === 0) return path;
    if (path === dirname(path)) return undefined;
  }
}

function reach(url: string): Promise<string> {
  const { host, port } = backendHostPort(url);
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port, timeout: CONNECT_MS });
    socket.once('connect', () => {
      socket.destroy();
      resolve(`${host}:${port} answers`);
    });
    socket.once('timeout', () => socket.destroy(new Error(`${host}:${port} gives no answer`)));
    socket.once('error', reject);
  });
}
