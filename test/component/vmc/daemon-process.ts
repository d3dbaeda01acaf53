/** The whole daemon as a process of its own, and a relay for it. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Test } from 'tap';
import { WebSocket } from 'ws';
import { COMPILE_CACHE } from '../../../lab/programs.ts';
import { encodeBootstrap } from '../../../shared/bootstrap.ts';
import { openChannel } from '../../../shared/channel/run-handshake.ts';
import { webSocketTransport } from '../../../shared/channel/websocket-transport.ts';
import { generateIdentity, type Identity } from '../../../shared/identity/identity.ts';
import { ed25519PublicKey } from '../../../shared/identity/keys.ts';
import { RELAY_USER_PATH } from '../../../shared/relay-wire.ts';
import { RpcPeer } from '../../../shared/rpc/peer.ts';
import { readIdentity } from '../../../vmc/state/identity-file.ts';
import { Relay } from './relay.ts';

const MAIN = new URL('../../../vmc/main.ts', import.meta.url).pathname;
export const VM_ID = 'vm-0123456789ab';

export class Vmc {
  readonly #child: ChildProcess;
  output = '';
  readonly exited: Promise<number>;

  /** @param under a command that runs the one after it. */
  constructor(configPath: string, credentials: string | undefined, under: readonly string[] = []) {
    const env = {
      PATH: '/usr/sbin:/usr/bin',
      NODE_COMPILE_CACHE: COMPILE_CACHE,
      ...(credentials === undefined ? {} : { CREDENTIALS_DIRECTORY: credentials }),
    };
    const [file = '', ...args] = [...under, process.execPath, MAIN, 'daemon', '--config', configPath];
    this.#child = spawn(file, args, { env, stdio: ['pipe', 'pipe', 'pipe'] });
    for (const stream of [this.#child.stdout, this.#child.stderr])
      stream?.on('data', (chunk: Buffer) => {
        this.output += chunk.toString();
        this.#child.emit('said');
      });
    this.exited = once(this.#child, 'close').then(([code]) => Number(code));
  }

  /** A line on its stdin; undefined ends that. */
  tell(line: string | undefined): void {
    if (line === undefined) this.#child.stdin?.end();
    else this.#child.stdin?.write(`${line}\n`);
  }

  async said(pattern: RegExp): Promise<void> {
    const signal = AbortSignal.timeout(30_000);
    while (!pattern.test(this.output))
      await once(this.#child, 'said', { signal }).catch((error: unknown) => {
        throw new Error(`vmc did not say ${pattern}, only:\n${this.output}`, { cause: error });
      });
  }

  stop(): Promise<number> {
    this.#child.kill('SIGTERM');
    return this.exited;
  }
}

export interface SetUpOptions {
  ports?: number[];
  relayUrl?: string;
  pin?: string;
  /** Makes accounts: only in an /etc of the test's own (in-own-etc.ts). */
  sftp?: boolean;
}

export async function setUp(t: Test, options: SetUpOptions = {}) {
  const dir = t.testdir();
  const owner = generateIdentity();
  const relay = new Relay();
  const url = options.relayUrl ?? (await relay.listen());
  t.teardown(() => relay.close());
  const credentials = join(dir, 'credentials');
  const stateDir = join(dir, 'state');
  await mkdir(credentials);
  const config = join(dir, 'vmc.toml');
  const { ports = [], sftp = false } = options;
  await writeFile(
    config,
    `stateDir = "${stateDir}"\n[tunnel]\nports = ${JSON.stringify(ports)}\n[sftp]\nenabled = ${sftp}\n`,
  );
  const bootstrap = (who: Identity) =>
    writeFile(
      join(credentials, 'vmc.bootstrap'),
      encodeBootstrap({
        version: 1,
        vm: { id: VM_ID, name: 'data' },
        backend: { url, pin: options.pin ?? relay.pin },
        owner: who.public,
        enrolToken: new Uint8Array(32).fill(7),
      }),
    );
  await bootstrap(owner);
  const start = (withCredential = true, under: readonly string[] = []) => {
    const vmc = new Vmc(config, withCredential ? credentials : undefined, under);
    t.teardown(() => vmc.stop());
    return vmc;
  };
  /** A control channel as a person's device opens it. */
  const connect = async (who: Identity) => {
    await relay.whenParked();
    const socket = new WebSocket(`${url.replace('https', 'wss')}${RELAY_USER_PATH}`, { rejectUnauthorized: false });
    socket.on('error', () => {});
    await once(socket, 'message'); // paired
    const vm = await readIdentity(stateDir);
    if (vm === undefined) throw new Error('no identity');
    const peer = ed25519PublicKey(vm.public.ed25519);
    return new RpcPeer(await openChannel(webSocketTransport(socket), { identity: who, peer, purpose: 'control' }));
  };
  const audit = () =>
    readFileSync(join(stateDir, 'audit.log'), 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>);
  return { dir, owner, relay, url, config, stateDir, bootstrap, start, connect, audit };
}
