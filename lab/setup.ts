/** Debian packages that the demo and the tests run: checked, and installed when missing. */
import * as z from 'zod';
import { VmcError } from '../shared/errors.ts';
import { CommandError, run } from '../shared/run.ts';

/** What each is for; only what is really run. */
export const LAB_PACKAGES = [
  'binutils', // strip
  'cryptsetup-bin',
  'curl', // real peers in tests: curl, openssl, sftp
  'dbus',
  'dnsmasq-base',
  'dpkg-dev',
  'e2fsprogs',
  'genisoimage',
  'ipset',
  'iproute2',
  'iptables',
  'iputils-ping',
  'libatomic1', // Node 26
  'libvirt-clients',
  'libvirt-daemon-system',
  'linux-image-cloud-amd64', // does KVM boot it? see accelerator.ts
  'mmdebstrap',
  'nftables',
  'openssh-client', // sftp, sftp-server, rclone and sshfs: real peers of the VM's SFTP
  'openssh-sftp-server',
  'openssl',
  'qemu-system-x86',
  'qemu-utils',
  'rclone',
  'seabios',
  'sshfs',
  'systemd', // systemd-analyze verify
  'util-linux',
  'xfsprogs',
] as const;

/** A real peer in tests, and the services of its package, which must not run. */
export const SSHD_PACKAGES = ['openssh-server'] as const;
export const SSHD_SERVICES = ['ssh.service', 'ssh.socket'] as const;

/** What `npm run bench` runs beside Node, and nobody else. */
export const BENCH_PACKAGES = [
  'libatomic1',
  'openssh-client',
  'openssh-server', // what the channel is compared with
  'util-linux', // taskset, prlimit
] as const;

/** The same for the tunnel. */
export const TUNNEL_BENCH_PACKAGES = [...BENCH_PACKAGES, 'haproxy', 'stunnel4'] as const;

/** Names from the output of dpkg-query `${Package} ${db:Status-Abbrev}\n`: installed ones are `ii` or held `hi`. */
export function installedFrom(output: string): Set<string> {
  const lines = output.split('\n').map((line) => line.trim().split(/\s+/));
  return new Set(lines.flatMap(([name, status]) => (name !== undefined && /^[ih]i$/.test(status ?? '') ? [name] : [])));
}

async function missing(packages: readonly string[]): Promise<string[]> {
  const { stdout } = await run({
    file: 'dpkg-query',
    // biome-ignore lint/suspicious/noTemplateCurlyInString: dpkg-query's own format language
    args: ['--show', '--showformat', '${Package} ${db:Status-Abbrev}\n', ...packages],
    okExitCodes: [0, 1], // 1: some are unknown, which is the question
    timeoutMs: 20_000,
  });
  const there = installedFrom(stdout);
  return packages.filter((name) => !there.has(name));
}

const Packages = z.array(z.string().regex(/^[a-z0-9][a-z0-9.+-]+$/)).min(1);

/**
 * Installs what is missing of `packages`. @returns the packages it installed, none when all were there.
 * @throws VmcError `forbidden` when something is missing and this is not root; `command-failed` when apt-get fails.
 */
export async function ensureDebianPackages(packages: readonly string[] = LAB_PACKAGES): Promise<string[]> {
  const wanted = await missing(Packages.parse(packages)).catch((error: unknown) => {
    if (error instanceof CommandError && error.reason === 'not-found')
      throw new VmcError('wrong-state', 'This machine has no dpkg', 'The demo and the tests need Debian 12.');
    throw error;
  });
  if (wanted.length === 0) return [];
  if (process.getuid?.() !== 0)
    throw new VmcError(
      'forbidden',
      `Missing Debian packages: ${wanted.join(', ')}`,
      'Run as root, or install them with apt-get.',
    );
  try {
    await install(wanted);
  } catch {
    // The lists are old or were never fetched: most first attempts on a fresh machine end here.
    await aptGet(['update'], 180_000);
    await install(wanted);
  }
  return wanted;
}

const install = (packages: readonly string[]): Promise<void> =>
  aptGet(['install', '--yes', '--no-install-recommends', '--', ...packages], 600_000);

async function aptGet(args: readonly string[], timeoutMs: number): Promise<void> {
  const options = ['-q', '-o', 'DPkg::Lock::Timeout=120', '-o', 'Acquire::Retries=3'];
  try {
    await run({ file: 'apt-get', args: [...options, ...args], env: { DEBIAN_FRONTEND: 'noninteractive' }, timeoutMs });
  } catch (error) {
    if (error instanceof CommandError)
      throw new VmcError(
        'command-failed',
        `${error.message} (apt-get ${args[0]})`,
        'Check the network and /etc/apt/sources.list.',
        { cause: error },
      );
    throw error;
  }
}
