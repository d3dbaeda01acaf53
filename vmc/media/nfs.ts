/**
 * NFS exports, read-only, from the servers that the site names (requirement C14). A server may be dead or answer nothing at
 * all: so nothing here looks into a mount, every command has a deadline, and each server is waited for by one command at most.
 */
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { VmcError } from '../../shared/errors.ts';
import { KeyedMutex } from '../../shared/keyed-mutex.ts';
import { CommandError, run } from '../../shared/run.ts';
import { Undo } from '../../shared/undo.ts';
import { RUN_FOLDER } from '../drives/drive-lock.ts';
import { before } from '../drives/fault-points.ts';
import { describeHolders, findHolders } from '../drives/holders.ts';
import { prepareMountPoint, removeMountPoint } from '../drives/mount.ts';
import { withMountTurn } from '../drives/mount-turn.ts';
import { parseMountinfo } from '../drives/parse-mountinfo.ts';
import type { Stoppable } from '../drives/turns.ts';
import { type NfsMount, nfsMountsIn } from './parse-nfs-mounts.ts';

export interface NfsOptions {
  /** IPv4 addresses. */
  servers: readonly string[];
  /** e.g. /mnt */
  mountRoot: string;
  /** Where the locks are; default /run/vmc/drives. */
  runFolder?: string;
  onUndoFailed: (what: string, error: unknown) => void;
}

export interface NfsRequest {
  server: string;
  path: string;
  name: string;
  readOnly: boolean;
}

/**
 * nfs(5). A request that gets no answer fails after some 15 s (soft), and so does the first one (retry=0). What comes over
 * the network is not authenticated: programs on it are not run from there.
 */
const OPTIONS = 'ro,nodev,nosuid,noexec,vers=4,proto=tcp,port=2049,soft,timeo=50,retrans=2,retry=0';
const MOUNT_MS = 45_000;
const UNMOUNT_MS = 20_000;
const LOCK_MS = 30_000;
const MOST_MOUNTS = 64;

export class NfsMounts {
  readonly #options: NfsOptions;
  readonly #mutex = new KeyedMutex();

  constructor(options: NfsOptions) {
    this.#options = options;
  }

  async list(): Promise<{ servers: string[]; mounts: NfsMount[] }> {
    return { servers: [...this.#options.servers], mounts: await this.#mounts() };
  }

  /** Succeeds when it is mounted there already. @throws VmcError 'forbidden', 'already-exists', 'unreachable', 'timeout', 'limit'. */
  async mount(request: NfsRequest, stoppable: Stoppable): Promise<{ mountPoint: string; readOnly: true }> {
    const { server, path, name } = request;
    checkAllowed(request, this.#options.servers);
    const mountPoint = join(this.#options.mountRoot, name);
    return this.#mutex.run([`server ${server}`, `name ${name}`], () =>
      this.#locked(mountPoint, stoppable, async () => {
        const mounts = await this.#mounts();
        const isIt = (it: NfsMount) => it.mountPoint === mountPoint && it.server === server && it.path === path;
        if (!mounts.some(isIt)) {
          if (mounts.length >= MOST_MOUNTS)
            throw new VmcError(
              'limit',
              `${MOST_MOUNTS} NFS exports are mounted, the most there can be.`,
              'Unmount one.',
            );
          await this.#mount(`${server}:${path}`, mountPoint, stoppable);
        }
        return { mountPoint, readOnly: true as const };
      }),
    );
  }

  /** Unmounting what is not mounted is fine. @throws VmcError 'busy' that names who holds it. */
  unmount(name: string, stoppable: Stoppable): Promise<void> {
    const mountPoint = join(this.#options.mountRoot, name);
    return this.#mutex.run(`name ${name}`, () =>
      this.#locked(mountPoint, stoppable, async () => {
        if (!(await this.#isMounted(mountPoint))) return;
        await before('nfs.unmount:unmount');
        await this.#unmount(mountPoint);
        await before('nfs.unmount:remove-mount-point');
        await removeMountPoint(mountPoint);
      }),
    );
  }

  async #mount(source: string, mountPoint: string, { signal }: Stoppable): Promise<void> {
    const undo = new Undo();
    try {
      await mkdir(this.#options.mountRoot, { recursive: true, mode: 0o755 });
      if (await prepareMountPoint(mountPoint)) undo.add('remove the mount point', () => removeMountPoint(mountPoint));
      await before('nfs.mount:mount');
      // It may have done its work in the moment in which it is ended.
      undo.add('unmount it', async () => {
        if (await this.#isMounted(mountPoint)) await this.#unmount(mountPoint);
      });
      // Not mount(8), which would start this as a process of its own, and leave it behind when it is ended itself.
      const args = [source, mountPoint, '-o', OPTIONS];
      await run({ file: 'mount.nfs4', args, timeoutMs: MOUNT_MS, signal }).catch(explain(source));
      await before('nfs.mount:verify');
      if ((await this.#mounts()).find((it) => it.mountPoint === mountPoint)?.readOnly !== true)
        throw new VmcError('command-failed', `${source} was not mounted read-only. It was unmounted.`);
      undo.commit();
    } catch (error) {
      for (const { what, error: failure } of await undo.rollBack()) this.#options.onUndoFailed(what, failure);
      throw error;
    }
  }

  /**
   * umount(8) itself (`-i`: no helper, `-c`: no look at the path). When the server is dead the kernel takes its time after the
   * mount has gone, to end the session; what still waits for an answer is ended by force: nothing is written, so nothing is lost.
   */
  async #unmount(mountPoint: string): Promise<void> {
    for (const force of [[], ['--force']]) {
      const args = ['-i', '-c', ...force, '--', mountPoint];
      try {
        await run({ file: 'umount', args, timeoutMs: UNMOUNT_MS });
        return;
      } catch (error) {
        if (!(await this.#isMounted(mountPoint))) return;
        if (!(error instanceof CommandError)) throw error;
        if (/busy/.test(error.stderr))
          throw new VmcError(
            'busy',
            `${mountPoint} is in use by ${describeHolders(await findHolders(mountPoint))}.`,
            'End these programs, or let them leave the folder; then unmount again.',
            { cause: error },
          );
        if (error.reason !== 'timeout' || force.length > 0) throw error;
      }
    }
  }

  async #isMounted(mountPoint: string): Promise<boolean> {
    return (await this.#mounts()).some((it) => it.mountPoint === mountPoint);
  }

  async #mounts(): Promise<NfsMount[]> {
    return nfsMountsIn(parseMountinfo(await readFile('/proc/self/mountinfo', 'utf8')), this.#options.mountRoot);
  }

  /** Among processes: `vmc nfs …` on the spot, and the daemon. */
  #locked<T>(mountPoint: string, { signal }: Stoppable, work: () => Promise<T>): Promise<T> {
    const { runFolder: folder = RUN_FOLDER } = this.#options;
    return withMountTurn(mountPoint, { folder, waitMs: LOCK_MS, signal }, work);
  }
}

function checkAllowed({ server, readOnly }: NfsRequest, servers: readonly string[]): void {
  if (!readOnly)
    throw new VmcError(
      'forbidden',
      'NFS exports are mounted read-only: what is in this VM must not leave it that way.',
      'Ask for it read-only. Data goes out by SFTP, by who has the right `download`.',
    );
  if (!servers.includes(server))
    throw new VmcError(
      'forbidden',
      servers.length === 0
        ? 'This VM may use no NFS server.'
        : `${server} is not an NFS server of this VM; these are: ${servers.join(', ')}.`,
      'The site names them in vmc.toml ([nfs] servers).',
    );
}

/** What mount.nfs4 says of a server that cannot be had, in our own codes. */
function explain(source: string): (error: unknown) => never {
  return (error) => {
    if (!(error instanceof CommandError) || error.reason === 'cancelled') throw error;
    if (error.reason === 'not-found')
      throw new VmcError('command-failed', error.message, 'apt-get install nfs-common', { cause: error });
    if (/No such file|Stale file handle/i.test(error.stderr))
      throw new VmcError('not-found', `There is no ${source}.`, 'Is the path right?', { cause: error });
    if (/access denied|not permitted/i.test(error.stderr))
      throw new VmcError('forbidden', `The NFS server lets this VM not at ${source}.`, 'Its exports(5) say who may.', {
        cause: error,
      });
    const silent = error.reason === 'timeout' || /mount system call failed|timed out/i.test(error.stderr);
    if (silent || /refused|unreachable|no route/i.test(error.stderr))
      throw new VmcError(
        silent ? 'timeout' : 'unreachable',
        `The NFS server of ${source} does not answer.`,
        'Is it up, and does the VM host let this VM out to it (tcp/2049)?',
        { cause: error },
      );
    throw error;
  };
}
