/** `connect tunnel --certificate`: a way in for curl, openssl and others, who have a certificate and key of their own. */
import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { errorMessage, VmcError } from '../../shared/errors.ts';
import type { Vm } from '../../shared/rest-api/machines.ts';
import { reply } from '../io.ts';
import type { Session } from '../session.ts';
import { portsText } from './forward-spec.ts';
import { untilStopped, withTunnel } from './open-tunnel.ts';

const MAX_FILE_BYTES = 65_536;

/** @returns the PEM of the first certificate in a file; whatever else is in it, such as a key, goes nowhere. @throws VmcError 'bad-data', 'not-found'. */
export async function readCertificate(path: string): Promise<string> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    throw new VmcError('not-found', `${path} cannot be read: ${errorMessage(error)}.`);
  }
  const [pem] =
    /-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/.exec(text.slice(0, MAX_FILE_BYTES)) ?? [];
  try {
    return new X509Certificate(pem ?? '').toString();
  } catch (cause) {
    throw new VmcError(
      'bad-data',
      `${path} holds no certificate in PEM.`,
      'Make one: openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=device -keyout client.key -out client.pem',
      { cause },
    );
  }
}

/** Tells where to connect to, and keeps the way open until Ctrl-C. */
export async function tunnelByHand(session: Session, vm: Vm, json: boolean | undefined, path: string): Promise<void> {
  const certificatePem = await readCertificate(path);
  await withTunnel(
    session,
    vm,
    async ({ access }) => {
      const { host, port, ports, sftp, serverCertificateSha256, expiresAt } = await access.get();
      const shown = { vm: vm.name, host, port, serverCertificateSha256, ports, sftp, expiresAt };
      reply(session.io, json, shown, () =>
        [
          `${vm.name} at ${host} port ${port}, for the certificate in ${path} alone, until Ctrl-C or ${new Date(expiresAt).toISOString()}`,
          `ports of the VM: ${portsText(ports) || 'none'}${sftp === undefined ? '' : `, SFTP at ${sftp.port}`}`,
          `server certificate, SHA-256: ${serverCertificateSha256}`,
          '',
          'Save the server certificate, and compare its digest with the one above:',
          `  openssl s_client -connect ${address(host, port)} -tls1_3 -cert client.pem -key client.key </dev/null 2>/dev/null | openssl x509 -out server.pem`,
          '  openssl x509 -in server.pem -outform der | openssl dgst -sha256',
          'Then, with a port of the VM for 8080:',
          `  printf 'CONNECT localhost:8080 HTTP/1.1\\r\\n\\r\\nGET / HTTP/1.0\\r\\n\\r\\n' | openssl s_client -quiet -connect ${address(host, port)} -tls1_3 -alpn http/1.1 -cert client.pem -key client.key -CAfile server.pem -verify_return_error`,
          `  curl --proxytunnel --proxy https://vmc:${port} --resolve vmc:${port}:${host} --proxy-cacert server.pem --proxy-cert client.pem --proxy-key client.key http://localhost:8080/`,
        ].join('\n'),
      );
      await untilStopped(session.io);
    },
    { certificatePem },
  );
}

const address = (host: string, port: number) => `${host.includes(':') ? `[${host}]` : host}:${port}`;
