/** vmc's tunnel server, and what stands against it, as processes of their own. Not a test itself. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import type { Test } from 'tap';
import { openStream, type TunnelPath } from '../../../connect/tunnel/open-stream.ts';
import { certificateSha256, makeCertificate } from '../../../shared/net/certificate.ts';
import { listen } from '../connect/tunnel-server.ts';
import { usage } from '../life/real-system.ts';
import type { Attack } from './attacker.ts';
import type { TunnelOrders, TunnelTold } from './serve-tunnel.ts';

const OWNER_MS = 5_000;
const PATIENCE_MS = 30_000;

export function start(t: Pick<Test, 'teardown'>, name: string, orders: TunnelOrders | Attack): ChildProcess {
  const child = fork(new URL(name, import.meta.url).pathname, {
    execArgv: ['--max-semi-space-size=1', '--expose-gc'], // the first as vmc.service has it
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  t.teardown(() => child.kill('SIGKILL'));
  child.send(orders);
  return child;
}

export async function told<T>(child: ChildProcess): Promise<T> {
  const [message] = await once(child, 'message', { signal: AbortSignal.timeout(PATIENCE_MS) });
  return message as T;
}

/** @param preAuthMs what strangers have. */
export async function startTunnel(t: Pick<Test, 'teardown'>, preAuthMs: number) {
  const service = createServer((socket) => socket.on('error', () => {}).end('hello from the VM'));
  const servicePort = await listen(service);
  t.teardown(() => service.close());
  const device = makeCertificate('device', 'clientAuth', 1, new Date());
  const deviceSha256 = certificateSha256(device.certificatePem);
  const child = start(t, 'serve-tunnel.ts', { deviceSha256, servicePort, preAuthMs });
  const ready = await told<TunnelTold>(child);
  if (ready.kind !== 'listening') throw new Error('expected the port');
  const { port, serverCertificateSha256 } = ready;
  const path: TunnelPath = { host: '127.0.0.1', port, certificate: device, serverCertificateSha256 };
  const ask = async () => {
    child.send('how are you?');
    const answer = await told<TunnelTold>(child);
    if (answer.kind !== 'state') throw new Error('expected its state');
    return answer;
  };
  return {
    port,
    /** The whole way, as `connect` goes it. @returns milliseconds. */
    async owner(): Promise<number> {
      const started = performance.now();
      const { stream } = await openStream(path, servicePort, AbortSignal.timeout(OWNER_MS));
      let text = '';
      for await (const chunk of stream) text += String(chunk);
      if (text !== 'hello from the VM') throw new Error(`got ${JSON.stringify(text)}`);
      return performance.now() - started;
    },
    usage: () => usage(child.pid ?? 0),
    refused: async () => (await ask()).refused,
    /** What is in use, without what the collector only has not come to yet. */
    inUseMiB: async () => (await ask()).inUseMiB,
  };
}
