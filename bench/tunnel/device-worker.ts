/** The device's end of the tunnel: connect's own code. The backend's part, saying where and to whom, is played by the bench. */
import * as z from 'zod';
import { listenLocally } from '../../connect/tunnel/local-port.ts';
import { openStream } from '../../connect/tunnel/open-stream.ts';
import { sha256HexSchema } from '../../shared/names.ts';
import { certificateSha256, makeCertificate } from '../../shared/net/certificate.ts';
import { serveWorker } from '../serve-worker.ts';
import { liveBytes } from './live-bytes.ts';

const forwardSchema = z.strictObject({
  port: z.int(),
  serverCertificateSha256: sha256HexSchema,
  vmPort: z.int(),
  listeners: z.int().positive(),
});

const certificate = makeCertificate('bench', 'clientAuth', 1, new Date());

serveWorker({
  liveBytes,

  certificate: () => certificateSha256(certificate.certificatePem),

  /** @returns local ports, all of which lead to the same one of the VM. */
  async forward(input) {
    const { port, serverCertificateSha256, vmPort, listeners } = forwardSchema.parse(input);
    const path = { host: '127.0.0.1', port, certificate, serverCertificateSha256 };
    const ports: number[] = [];
    for (let i = 0; i < listeners; i++) {
      const local = await listenLocally({
        port: 0,
        open: (gone) => openStream(path, vmPort, gone),
        onProblem: (error) => process.stderr.write(`${error}\n`),
      });
      ports.push(local.port);
    }
    return { ports };
  },
});
