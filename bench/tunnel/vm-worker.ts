/** The VM's end of the tunnel: vmc's own code, without a VM around it. */
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import * as z from 'zod';
import { sha256HexSchema } from '../../shared/names.ts';
import { certificateSha256, makeCertificate } from '../../shared/net/certificate.ts';
import { configSchema } from '../../vmc/config.ts';
import { Grants } from '../../vmc/tunnel/grants.ts';
import { TunnelServer } from '../../vmc/tunnel/tunnel-server.ts';
import { serveWorker } from '../serve-worker.ts';
import { liveBytes } from './live-bytes.ts';

const listenSchema = z.strictObject({ servicePort: z.int(), certificateSha256: sha256HexSchema });
/** As deployed, with no settings of anybody's. */
const SETTINGS = configSchema.parse({}).tunnel;
/** But for the idle streams, which are more than one device may have. */
const STREAMS = 100_000;

serveWorker({
  liveBytes,

  /** Lets one certificate in, and that to the service only. */
  async listen(input) {
    const { servicePort, certificateSha256: device } = listenSchema.parse(input);
    const { grantHours, maxGrantsPerPerson, maxPreAuth, maxPreAuthPerAddress, readyPerGrant, readySeconds } = SETTINGS;
    const lifetimeMs = grantHours * 3_600_000;
    const limits = {
      lifetimeMs,
      maxGrantsPerPerson,
      maxStreamsPerGrant: STREAMS,
      maxStreamsPerPerson: STREAMS,
      readyPerGrant,
    };
    const grants = new Grants(limits, Date.now);
    const onRefused = (reason: string) => void process.stderr.write(`refused: ${reason}\n`);
    const server = new TunnelServer({ grants, readySeconds, maxPreAuth, maxPreAuthPerAddress, onRefused });
    const certificate = makeCertificate('bench', 'serverAuth', 1, new Date());
    server.useCertificate(certificate);
    grants.open(device, 'bench', [{ from: servicePort, to: servicePort }]);
    server.tcp.listen({ port: 0, host: '127.0.0.1' });
    await once(server.tcp, 'listening');
    const { port } = server.tcp.address() as AddressInfo;
    return {
      port,
      serverCertificateSha256: certificateSha256(certificate.certificatePem),
      ready: { connections: readyPerGrant, seconds: readySeconds },
    };
  },
});
