/** The demo's program in the VM (vm-program.ts), reached through the tunnel from the user's device. */
import type { Tunnel, UserDevice } from '../lab/user-device.ts';

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

  request(method: string, path: string, body?: Uint8Array): Promise<Buffer> {
    const url = `http://127.0.0.1:${this.#tunnel.port}${path}`;
    const send =
      body === undefined ? [] : ['--data-binary', '@-', '--header', 'content-type: application/octet-stream'];
    return this.#user.curl(['--request', method, ...send, url], {
      timeoutMs: 300_000,
      ...(body === undefined ? {} : { input: body }),
    });
  }
}
