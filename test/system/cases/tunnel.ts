/** The tunnel: who gets through it to what. */
import { X509Certificate } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Test } from 'tap';
import { ADDRESSES, inNamespace } from '../../../lab/namespaces.ts';
import { makeCertificate } from '../../../shared/net/certificate.ts';
import { run } from '../../../shared/run.ts';
import { VM, type VmSite } from '../support/vm-site.ts';

export function tunnelCases(t: Test, { site, undo, owner, vmId, vm, call }: VmSite): void {
  t.test('C5, B3: an unknown certificate gets no byte of HTTP; an endpoint serves one address', async (t) => {
    const { port } = await call<{ port: number }>(owner, {
      kind: 'rest',
      name: 'endpointOpen',
      params: { vmId },
      body: {},
    });
    const { certificatePem, privateKeyPem } = makeCertificate('stranger', 'clientAuth', 1, new Date());
    const folder = site.folders.user;
    await writeFile(join(folder, 'stranger.pem'), certificatePem + privateKeyPem, { mode: 0o600 });
    const dial = (namespace: string, address: string) => {
      const [file, ...args] = inNamespace(namespace, 'openssl', [
        's_client',
        '-quiet',
        '-tls1_3',
        '-connect',
        `${address}:${port}`,
        '-cert',
        join(folder, 'stranger.pem'),
        '-verify_quiet',
      ]);
      return run({
        file,
        args,
        stdin: 'CONNECT localhost:8080 HTTP/1.1\r\nHost: localhost:8080\r\n\r\n',
        timeoutMs: 20_000,
        okExitCodes: [0, 1],
      });
    };
    const stranger = await dial(site.network.user, ADDRESSES.backendForUser);
    t.notMatch(stranger.stdout, /HTTP/);
    const elsewhere = await dial(site.network.backend, ADDRESSES.backendForUser);
    t.notMatch(elsewhere.stdout, /HTTP/);
    t.notMatch(elsewhere.stderr, /depth=/, 'from another address not even TLS begins');
  });

  t.test('C5: RDP: xrdp in the VM answers a client on the device, and TLS is its own from end to end', async (t) => {
    const tunnel = await owner.tunnel(VM, 3389, undo);
    t.match(await vm.json('POST', '/start-unit?unit=xrdp.service&port=3389'), { listening: true });
    const certificate = new X509Certificate(await vm.request('GET', '/file?path=/etc/xrdp/cert.pem'));
    const answer = await owner.node('test/system/support/rdp-client.ts', [String(tunnel.port)], new Uint8Array());
    t.match(JSON.parse(answer), { selected: 1, tls: 'TLSv1.3', certificateSha256: certificate.fingerprint256 });
    await tunnel.close();
  });
}
