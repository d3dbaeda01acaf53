/** The VM's end of the tunnel: vmc's own code, without a VM around it. */
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import * as z from 'zod';
import { sha256HexSchema } from '../../shared/names.ts';
import { certificateSha256, makeCertificate } from '../../shared/net/certificate.ts';
import { Grants } from '../../vmc/tunnel/grants.ts';
import { TunnelServer } from '../../vmc/tunnel/tunnel-server.ts';
import { serveWorker } from '../serve-worker.ts';

const listenSchema = z.strictObject({ servicePort: z.int(), certificateSha256: sha256HexSchema });
/** As many as the bench wants: its load is not a stranger's. */
const STREAMS = 100_000;

serveWorker({
  /** Lets one certificate in, and that to the service only. */
  async listen(input) {
    const { servicePort, certificateSha256: device } = listenSchema.parse(input);
    const limits = {
      lifetimeMs: 86_400_000,
      maxGrantsPerPerson: 1,
      maxStreamsPerGrant: STREAMS,
      readyPerGrant: STREAMS,
    };
    const grants = new Grants(limits, Date.now);
    const server = new TunnelServer({
      grants,
      readySeconds: 60,
      maxPreAuth: 256,
      maxPreAuthPerAddress: 256,
      onRefused: (reason) => process.stderr.write(`refused: ${reason}\n`),
    });
    const certificate = makeCertificate('bench', 'serverAuth', 1, new Date());
    server.useCertificate(certificate);
    grants.open(device, 'bench', [{ from: servicePort, to: servicePort }]);
    server.tcp.listen({ port: 0, host: '127.0.0.1' });
    await once(server.tcp, 'listening');
    const { port } = server.tcp.address() as AddressInfo;
    return { port, serverCertificateSha256: certificateSha256(certificate.certificatePem) };
  },
});
