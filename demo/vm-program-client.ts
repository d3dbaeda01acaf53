/** The demo's program in the VM (vm-program.ts), reached through the tunnel from the user's device. */
import type { Tunnel, UserDevice } from '../lab/user-device.ts';

export interface ExecOptions {
  stdin?: Uint8Array;
  /** Default two minutes; it is then killed. */
  timeoutMs?: number;
}

export interface Executed {
  code: number | null;
  signal: string | null;
  stdout: string;
  stderr: string;
}

export class VmProgram {
  readonly #user: UserDevice;
  readonly #tunnel: Tunnel;

  constructor(user: UserDevice, tunnel: Tunnel) {
    this.#user = user;
    this.#tunnel = tunnel;
  }

  async json<T = unknown>(method: string, path: string): Promise<T> {
    return JSON.parse((await this.request(method, path)).toString()) as T;
  }

  /** Runs a command in the VM as root. @throws when it does not end with 0. @returns its stdout. */
  async exec(argv: readonly [string, ...string[]], options: ExecOptions = {}): Promise<string> {
    const { code, signal, stdout, stderr } = await this.tryExec(argv, options);
    if (code === 0) return stdout;
    throw new Error(
      `${argv.slice(0, 3).join(' ')} ended with ${code ?? signal}: ${stderr.slice(-2000)}${stdout.slice(-500)}`,
    );
  }

  /** As `exec`, however it ends. */
  async tryExec(argv: readonly [string, ...string[]], options: ExecOptions = {}): Promise<Executed> {
    const { stdin = new Uint8Array(0), timeoutMs = 120_000 } = options;
    const request = { argv, timeoutMs, stdin: Buffer.from(stdin).toString('base64') };
    return JSON.parse(
      (await this.request('POST', '/exec', Buffer.from(JSON.stringify(request)), timeoutMs + 60_000)).toString(),
    ) as Executed;
  }

  request(method: string, path: string, body?: Uint8Array, timeoutMs = 300_000): Promise<Buffer> {
    const url = `http://127.0.0.1:${this.#tunnel.port}${path}`;
    const send =
      body === undefined ? [] : ['--data-binary', '@-', '--header', 'content-type: application/octet-stream'];
    return this.#user.curl(['--request', method, ...send, url], {
      timeoutMs,
      ...(body === undefined ? {} : { input: body }),
    });
  }
}
