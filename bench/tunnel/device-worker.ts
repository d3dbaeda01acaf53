/** The device's end of the tunnel: connect's own code. The backend's part, saying where and to whom, is played by the bench. */
import * as z from 'zod';
import { listenLocally } from '../../connect/tunnel/local-port.ts';
import { type PoolPath, StreamPool } from '../../connect/tunnel/stream-pool.ts';
import { sha256HexSchema } from '../../shared/names.ts';
import { certificateSha256, makeCertificate } from '../../shared/net/certificate.ts';
import { serveWorker } from '../serve-worker.ts';
import { liveBytes } from './live-bytes.ts';

const forwardSchema = z.strictObject({
  port: z.int(),
  serverCertificateSha256: sha256HexSchema,
  vmPort: z.int(),
  listeners: z.int().positive(),
  /** As tunnel.open says it. */
  ready: z.strictObject({ connections: z.int().nonnegative(), seconds: z.number().nonnegative() }),
});

const certificate = makeCertificate('bench', 'clientAuth', 1, new Date());

serveWorker({
  liveBytes,

  certificate: () => certificateSha256(certificate.certificatePem),

  /** @returns local ports, all of which lead to the same one of the VM. */
  async forward(input) {
    const { port, serverCertificateSha256, vmPort, listeners, ready } = forwardSchema.parse(input);
    const path: PoolPath = { host: '127.0.0.1', port, certificate, serverCertificateSha256, ready };
    const pool = new StreamPool({ get: async () => path, renew: async () => path });
    const ports: number[] = [];
    for (let i = 0; i < listeners; i++) {
      const local = await listenLocally({
        port: 0,
        open: (gone, early) => pool.open(vmPort, gone, early),
        onProblem: (error) => process.stderr.write(`${error}\n`),
      });
      ports.push(local.port);
    }
    pool.warm();
    return { ports };
  },
});
