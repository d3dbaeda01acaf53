/** vmc's tunnel server in a process of its own, so that its memory and descriptors can be looked at. Not a test itself. */
import type { AddressInfo } from 'node:net';
import { setImmediate } from 'node:timers/promises';
import { certificateSha256, makeCertificate } from '../../../shared/net/certificate.ts';
import { configSchema } from '../../../vmc/config.ts';
import { claimPort } from '../../../vmc/port22/claim-port.ts';
import { Grants } from '../../../vmc/tunnel/grants.ts';
import { TunnelServer } from '../../../vmc/tunnel/tunnel-server.ts';

export interface TunnelOrders {
  deviceSha256: string;
  servicePort: number;
  preAuthMs: number;
}

export type TunnelTold =
  | { kind: 'listening'; port: number; serverCertificateSha256: string }
  | { kind: 'state'; refused: Record<string, number>; inUseMiB: number };

const tell = (told: TunnelTold) => void process.send?.(told);

process.once('message', async ({ deviceSha256, servicePort, preAuthMs }: TunnelOrders) => {
  const { tunnel: limits } = configSchema.parse({});
  const grants = new Grants({ ...limits, lifetimeMs: 600_000 }, Date.now);
  const counts: Record<string, number> = {};
  const server = new TunnelServer({
    ...limits,
    grants,
    preAuthMs,
    onRefused: (reason) => {
      counts[reason] = (counts[reason] ?? 0) + 1;
    },
  });
  const certificate = makeCertificate('vm', 'serverAuth', 1, new Date());
  server.useCertificate(certificate);
  grants.open(deviceSha256, 'SHA256:owner', [{ from: servicePort, to: servicePort }]);
  await claimPort(server.tcp, 0);
  // Any further message is the question how it is.
  process.on('message', async () => {
    for (let i = 0; i < 3; i++) {
      globalThis.gc?.();
      await setImmediate(); // what a finalizer lets go of goes with the next collection
    }
    const { heapUsed, external } = process.memoryUsage();
    tell({ kind: 'state', refused: counts, inUseMiB: (heapUsed + external) / 1024 / 1024 });
  });
  tell({
    kind: 'listening',
    port: (server.tcp.address() as AddressInfo).port,
    serverCertificateSha256: certificateSha256(certificate.certificatePem),
  });
});
process.once('disconnect', () => process.exit());
