/** The SFTP server that host-agent.toml names: a stranger that keeps files. Its key is pinned; what it gives back is hashed. */
import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import type { Client, SFTPWrapper } from 'ssh2';
import { VmcError } from '../../shared/errors.ts';
import { isErrno } from '../../shared/files.ts';
import { printable } from '../../shared/printable.ts';
import { SSH_ALGORITHMS } from '../../shared/ssh/algorithms.ts';
import type { Config } from '../config.ts';
import { readFully, writeFully } from './whole.ts';

const CONNECT_MS = 20_000;
/** Nothing moved for so long: the server is given up. */
const STALL_MS = 60_000;
const KEEP_ALIVE = { keepaliveInterval: 15_000, keepaliveCountMax: 3 };
/** Every server takes and gives so much at once (draft-ietf-secsh-filexfer-02, 3). */
const CHUNK_BYTES = 32 * 1024;
/** Chunks under way: memory, and what a line with 100 ms there and back carries. */
const WINDOW = 64;
/** Read before it is hashed. */
const BATCH_BYTES = 2 * WINDOW * CHUNK_BYTES;

const NO_SUCH_FILE = 2;
const MAX_KEY_BYTES = 16 * 1024;

export type SftpSettings = NonNullable<Config['snapshots']['sftp']>;

export interface SftpTransfer {
  progress?: ((doneBytes: number) => void) | undefined;
}

export interface SftpServer {
  /** Makes a folder; one that is there is fine. */
  makeFolder(path: string): Promise<void>;
  /** Writes a new file and asks the server to put it on its disk. */
  upload(local: string, remote: string, transfer?: SftpTransfer): Promise<void>;
  writeText(text: string, remote: string): Promise<void>;
  /** Never replaces a file. */
  rename(from: string, to: string): Promise<void>;
  /** @returns false when it was not there. */
  remove(path: string): Promise<boolean>;
  /**
   * Reads a whole file of known size. @param local where to write it, new; undefined: nowhere.
   * @returns its SHA-256 in hex. @throws VmcError 'bad-data' when it has another size, 'not-found'.
   */
  read(remote: string, bytes: number, local: string | undefined, transfer?: SftpTransfer): Promise<string>;
  /** Undefined when the server does not say. */
  freeBytes(path: string): Promise<number | undefined>;
}

/**
 * One connection for as long as `work` lasts.
 * @throws VmcError 'unreachable', 'identity-changed' (another host key), 'forbidden' (our key is refused), 'cancelled',
 * 'bad-config' (the key file).
 */
export async function withSftp<T>(
  settings: SftpSettings,
  signal: AbortSignal | undefined,
  work: (server: SftpServer) => Promise<T>,
): Promise<T> {
  const privateKey = await readKey(settings.keyFile);
  const { default: ssh2 } = await import('ssh2');
  const client = new ssh2.Client();
  const broken = Promise.withResolvers<never>();
  broken.promise.catch(() => {});
  const cancel = () => {
    broken.reject(new VmcError('cancelled', 'The transfer was cancelled.'));
    client.destroy();
  };
  signal?.addEventListener('abort', cancel, { once: true });
  if (signal?.aborted === true) cancel();
  try {
    const sftp = await Promise.race([openSession(client, settings, privateKey, broken), broken.promise]);
    return await Promise.race([work(operations(sftp, settings, broken, client)), broken.promise]);
  } finally {
    signal?.removeEventListener('abort', cancel);
    client.destroy();
  }
}

const where = ({ server, port }: SftpSettings): string => `${server}:${port}`;

function openSession(
  client: Client,
  settings: SftpSettings,
  privateKey: Buffer,
  broken: PromiseWithResolvers<never>,
): Promise<SFTPWrapper> {
  const [type = '', key = ''] = settings.hostKey.split(' ');
  let otherKey = false;
  return new Promise((resolve, reject) => {
    const fail = (error: Error & { level?: string }) => {
      const refusal = otherKey
        ? new VmcError(
            'identity-changed',
            `${where(settings)} does not have the key that host-agent.toml names.`,
            'Is it the right server? Compare snapshots.sftp.hostKey with what its administrator says, not with ssh-keyscan.',
          )
        : error.level === 'client-authentication'
          ? new VmcError(
              'forbidden',
              `${where(settings)} does not let ${settings.user} in with the key of snapshots.sftp.keyFile.`,
              'Add its public key to authorized_keys there.',
            )
          : new VmcError(
              'unreachable',
              `The SFTP server ${where(settings)} fails: ${printable(error.message)}.`,
              'Is it running? `sftp` by hand shows more.',
            );
      broken.reject(refusal);
      reject(refusal);
    };
    client.on('error', fail);
    client.on('close', () => fail(new Error('it closed the connection')));
    client.on('ready', () => {
      client.sftp((error, sftp) => (error === undefined ? resolve(sftp) : fail(error)));
    });
    client.connect({
      host: settings.server,
      port: settings.port,
      username: settings.user,
      privateKey,
      authHandler: ['publickey'],
      hostVerifier: (offered: Buffer) => {
        otherKey = offered.toString('base64') !== key;
        return !otherKey;
      },
      // The type's name was checked in the configuration.
      algorithms: { ...SSH_ALGORITHMS, serverHostKey: [type as 'ssh-ed25519'] },
      readyTimeout: CONNECT_MS,
      ...KEEP_ALIVE,
    });
  });
}

function operations(
  sftp: SFTPWrapper,
  settings: SftpSettings,
  broken: PromiseWithResolvers<never>,
  client: Client,
): SftpServer {
  /** One request; the server must answer in time. */
  const ask = async <T>(
    what: string,
    request: (done: (error?: Error | null, result?: T) => void) => void,
  ): Promise<T> => {
    const timer = setTimeout(() => {
      broken.reject(new VmcError('unreachable', `The SFTP server ${where(settings)} does not answer any more.`));
      client.destroy();
    }, STALL_MS);
    try {
      const answer = new Promise<T>((resolve, reject) => {
        request((error, result) => (error == null ? resolve(result as T) : reject(error)));
      });
      answer.catch(() => {}); // when the connection breaks first
      return await Promise.race([answer, broken.promise]);
    } catch (error) {
      throw error instanceof VmcError ? error : refused(what, error, settings);
    } finally {
      clearTimeout(timer);
    }
  };

  const openFile = (path: string, flags: 'r' | 'wx') =>
    ask<Buffer>(`open ${path}`, (done) => sftp.open(path, flags, { mode: 0o600 }, done));
  const close = (handle: Buffer) => ask<void>('close a file', (done) => sftp.close(handle, done));

  const write = async (
    remote: string,
    size: number,
    read: (buffer: Buffer, at: number) => Promise<void>,
    transfer?: SftpTransfer,
  ) => {
    const handle = await openFile(remote, 'wx');
    let done = 0;
    await inWindow(size, async (at, length) => {
      const buffer = Buffer.alloc(length);
      await read(buffer, at);
      await ask<void>(`write ${remote}`, (settle) => sftp.write(handle, buffer, 0, length, at, settle));
      done += length;
      transfer?.progress?.(done);
    });
    await ask<void>(`fsync ${remote}`, (settle) => {
      try {
        sftp.ext_openssh_fsync(handle, settle);
      } catch {
        settle(); // a server without this extension
      }
    });
    await close(handle);
  };

  return {
    async makeFolder(path) {
      try {
        await ask<void>(`mkdir ${path}`, (done) => sftp.mkdir(path, { mode: 0o700 }, done));
      } catch (error) {
        // Servers do not say whether it was there.
        await ask(`stat ${path}`, (done) => sftp.stat(path, done)).catch(() => {
          throw error;
        });
      }
    },
    async upload(local, remote, transfer) {
      const file = await open(local, constants.O_RDONLY);
      try {
        const { size } = await file.stat();
        await write(remote, size, (buffer, at) => readFully(file, buffer, at), transfer);
      } finally {
        await file.close();
      }
    },
    async writeText(text, remote) {
      const bytes = Buffer.from(text);
      await write(remote, bytes.length, async (buffer, at) => void bytes.copy(buffer, 0, at));
    },
    rename: (from, to) => ask(`rename ${from}`, (done) => sftp.rename(from, to, done)),
    async remove(path) {
      try {
        await ask<void>(`remove ${path}`, (done) => sftp.unlink(path, done));
        return true;
      } catch (error) {
        if (isNoSuchFile(error)) return false;
        throw error;
      }
    },
    async read(remote, bytes, local, transfer) {
      const handle = await openFile(remote, 'r');
      const { size } = await ask<{ size: number }>(`stat ${remote}`, (done) => sftp.fstat(handle, done));
      if (size !== bytes)
        throw new VmcError('bad-data', `${remote} on ${where(settings)} has ${size} bytes instead of ${bytes}.`);
      const file = local === undefined ? undefined : await open(local, 'wx', 0o600);
      try {
        const hash = createHash('sha256');
        // One batch after the other: a server that keeps one chunk back cannot make the others pile up.
        for (let start = 0; start < bytes; start += BATCH_BYTES) {
          const batch = Buffer.alloc(Math.min(BATCH_BYTES, bytes - start));
          await inWindow(batch.length, (at, length) =>
            readInto(batch.subarray(at, at + length), handle, remote, start + at),
          );
          hash.update(batch);
          if (file !== undefined) await writeFully(file, batch, start);
          transfer?.progress?.(start + batch.length);
        }
        await file?.sync();
        await close(handle);
        return hash.digest('hex');
      } finally {
        await file?.close();
      }
    },
    async freeBytes(path) {
      return ask<{ f_bavail: number; f_frsize: number } | undefined>(`statvfs ${path}`, (done) => {
        try {
          sftp.ext_openssh_statvfs(path, done);
        } catch {
          done(); // a server without this extension
        }
      }).then((it) => {
        const free = it === undefined ? Number.NaN : Number(it.f_bavail) * Number(it.f_frsize);
        return Number.isSafeInteger(free) ? free : undefined;
      });
    },
  };

  async function readInto(part: Buffer, handle: Buffer, remote: string, at: number): Promise<void> {
    for (let have = 0; have < part.length; ) {
      const got = await ask<number>(`read ${remote}`, (done) =>
        sftp.read(handle, part, have, part.length - have, at + have, (error, bytes) => done(error, bytes)),
      );
      if (!(got > 0 && got <= part.length - have))
        throw new VmcError('bad-data', `${remote} on ${where(settings)} ends too early.`);
      have += got;
    }
  }
}

/** Every chunk of `size` bytes, so many at a time, begun in order; the first failure ends it. */
async function inWindow(size: number, move: (at: number, length: number) => Promise<void>): Promise<void> {
  let next = 0;
  let failed = false;
  const mover = async (): Promise<void> => {
    while (next < size && !failed) {
      const at = next;
      const length = Math.min(CHUNK_BYTES, size - at);
      next += length;
      try {
        await move(at, length);
      } catch (error) {
        failed = true;
        throw error;
      }
    }
  };
  const movers = Array.from({ length: WINDOW }, mover);
  await Promise.allSettled(movers);
  await Promise.all(movers);
}

const REFUSED = Symbol('status');

function refused(what: string, error: unknown, settings: SftpSettings): VmcError {
  const { code, message } = error as { code?: unknown; message?: unknown };
  const status = typeof code === 'number' ? code : undefined;
  const text = `The SFTP server ${where(settings)} refuses to ${what}: ${printable(String(message)).slice(0, 200)}.`;
  return Object.assign(new VmcError(status === NO_SUCH_FILE ? 'not-found' : 'command-failed', text), {
    [REFUSED]: status,
  });
}

const isNoSuchFile = (error: unknown): boolean =>
  error instanceof VmcError && (error as { [REFUSED]?: number })[REFUSED] === NO_SUCH_FILE;

/** @throws VmcError 'bad-config' when others may read it. */
async function readKey(path: string): Promise<Buffer> {
  const hint = 'snapshots.sftp.keyFile in host-agent.toml: a private key without passphrase, chmod 600, owned by root.';
  let file: FileHandle;
  try {
    file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  } catch (error) {
    if (isErrno(error, 'ENOENT')) throw new VmcError('bad-config', `There is no key ${path}.`, hint);
    throw error;
  }
  try {
    const { mode, size, uid } = await file.stat();
    if ((mode & 0o077) !== 0 || (uid !== 0 && uid !== process.getuid?.()))
      throw new VmcError('bad-config', `The key ${path} can be read by others.`, hint);
    if (size > MAX_KEY_BYTES) throw new VmcError('bad-config', `${path} is no private key.`, hint);
    return await file.readFile();
  } finally {
    await file.close();
  }
}
