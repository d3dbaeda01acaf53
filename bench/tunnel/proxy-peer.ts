/** stunnel and haproxy, the same program at both ends: TLS 1.3 with AES-256-GCM, each end knows the other's certificate. */
import { writeFile } from 'node:fs/promises';
import { startProcess } from '../../lab/process.ts';
import { makeFolder } from '../../shared/files.ts';
import { makeCertificate } from '../../shared/net/certificate.ts';
import { whenListening } from '../listening.ts';
import { oncePerSite } from '../once-per-site.ts';
import { freePort } from '../openssh.ts';
import { fileIn, type Site } from '../site.ts';
import { startLoad } from './load.ts';
import type { Peer } from './peer.ts';

/** One end: listens on one port, connects to the other, and has TLS on one side. */
interface End {
  /** Which side has TLS. */
  role: 'server' | 'client';
  listenPort: number;
  targetPort: number;
  /** PEM: its certificate and key in one file; the other end's certificate. */
  ownFile: string;
  otherFile: string;
}

interface Proxy {
  name: string;
  argv(configuration: string): [string, ...string[]];
  configuration(end: End): string[];
}

const SUITE = 'TLS_AES_256_GCM_SHA384';

const STUNNEL: Proxy = {
  name: 'stunnel',
  argv: (configuration) => ['/usr/bin/stunnel4', configuration],
  configuration: ({ role, listenPort, targetPort, ownFile, otherFile }) => [
    'foreground = yes',
    'pid =',
    'debug = warning',
    '[tunnel]',
    `client = ${role === 'client' ? 'yes' : 'no'}`,
    `accept = 127.0.0.1:${listenPort}`,
    `connect = 127.0.0.1:${targetPort}`,
    `cert = ${ownFile}`,
    `CAfile = ${otherFile}`,
    'verifyPeer = yes',
    'sslVersion = TLSv1.3',
    `ciphersuites = ${SUITE}`,
  ],
};

const HAPROXY: Proxy = {
  name: 'haproxy',
  argv: (configuration) => ['/usr/sbin/haproxy', '-db', '-f', configuration],
  configuration: ({ role, listenPort, targetPort, ownFile, otherFile }) => {
    const tls = `ssl crt ${ownFile} ca-file ${otherFile} verify required ssl-min-ver TLSv1.3 ciphersuites ${SUITE}`;
    return [
      'defaults',
      '  mode tcp',
      '  timeout connect 10s',
      '  timeout client 1h',
      '  timeout server 1h',
      'listen tunnel',
      `  bind 127.0.0.1:${listenPort} ${role === 'server' ? tls : ''}`,
      `  server other 127.0.0.1:${targetPort} ${role === 'client' ? tls : ''}`,
    ];
  },
};

export const stunnel = oncePerSite((site) => startBoth(site, STUNNEL));
export const haproxy = oncePerSite((site) => startBoth(site, HAPROXY));

async function startBoth(site: Site, proxy: Proxy): Promise<Peer> {
  const { servicePort } = await startLoad(site);
  const folder = fileIn(site, proxy.name);
  await makeFolder(folder, 0o700);
  for (const role of ['server', 'client'] as const) {
    const { certificatePem, privateKeyPem } = makeCertificate('bench', `${role}Auth`, 1, new Date());
    await writeFile(`${folder}/${role}.pem`, certificatePem + privateKeyPem, { mode: 0o600 });
    await writeFile(`${folder}/${role}-certificate.pem`, certificatePem, { mode: 0o600 });
  }
  const start = async (role: End['role'], targetPort: number): Promise<{ pid: number; port: number }> => {
    const name = `${proxy.name}-${role}`;
    const listenPort = await freePort();
    const other = role === 'server' ? 'client' : 'server';
    const files = { ownFile: `${folder}/${role}.pem`, otherFile: `${folder}/${other}-certificate.pem` };
    const lines = proxy.configuration({ role, listenPort, targetPort, ...files });
    await writeFile(`${folder}/${role}.conf`, `${lines.join('\n')}\n`, { mode: 0o600 });
    const program = await startProcess({
      lab: site.lab,
      name,
      argv: proxy.argv(`${folder}/${role}.conf`),
      logFile: fileIn(site, `${name}.log`),
    });
    site.undo.add(name, () => program.stop());
    await whenListening(listenPort, name, program);
    return { pid: program.pid, port: listenPort };
  };
  const server = await start('server', servicePort);
  const client = await start('client', server.port);
  return { port: client.port, server: [server.pid], client: [client.pid] };
}
