/** Certificates and pins, against OpenSSL and a real TLS server. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import * as z from 'zod';
import { callRoute } from '../../../shared/backend-client/http.ts';
import { certificateSha256, makeCertificate, spkiPin } from '../../../shared/net/certificate.ts';
import { pinnedAgent } from '../../../shared/net/pinned-agent.ts';
import { TLS_OPTIONS } from '../../../shared/net/tls.ts';
import { defineRoute, none } from '../../../shared/rest-api/route.ts';
import { run } from '../../../shared/run.ts';

const openssl = (...args: string[]) => run({ file: 'openssl', args, timeoutMs: 10_000 }).then(({ stdout }) => stdout);

t.test('OpenSSL accepts our certificates and agrees on their hashes', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'vmc-test-'));
  t.teardown(() => rmSync(dir, { recursive: true }));
  for (const [purpose, now] of [
    ['serverAuth', new Date()],
    ['clientAuth', new Date('2049-12-30')],
  ] as const) {
    const { certificatePem, privateKeyPem } = makeCertificate('vmc é', purpose, 365, now);
    const file = join(dir, 'c.pem');
    writeFileSync(file, certificatePem);
    const text = await openssl('x509', '-in', file, '-noout', '-text', '-nameopt', 'utf8');
    t.match(text, /Version: 3/);
    t.match(text, /ecdsa-with-SHA256/);
    t.match(text, /CN ?= ?vmc é/);
    t.match(text, purpose === 'serverAuth' ? /TLS Web Server Authentication/ : /TLS Web Client Authentication/);
    t.match(
      await openssl('verify', '-check_ss_sig', '-partial_chain', '-no_check_time', '-trusted', file, file),
      /OK/,
      'its signature holds',
    );
    const fingerprint = await openssl('x509', '-in', file, '-noout', '-fingerprint', '-sha256');
    t.equal(certificateSha256(certificatePem), fingerprint.split('=')[1]?.trim().replaceAll(':', '').toLowerCase());
    t.match(privateKeyPem, /BEGIN PRIVATE KEY/);
  }
});

const route = defineRoute({
  method: 'POST',
  path: '/v1/x',
  summary: 'x',
  auth: 'none',
  params: none,
  body: z.object({ secret: z.string() }),
  result: z.object({ ok: z.boolean() }),
});

t.test('B2: a pinned client talks to the pinned key only, and sends nothing to another', async (t) => {
  const { certificatePem, privateKeyPem } = makeCertificate('backend', 'serverAuth', 1, new Date());
  let requests = 0;
  let bytes = 0;
  const server = createServer({ ...TLS_OPTIONS, cert: certificatePem, key: privateKeyPem }, (_request, response) => {
    requests++;
    response.end('{"ok":true}');
  });
  server.on('secureConnection', (socket) =>
    socket.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
    }),
  );
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;

  const good = pinnedAgent(spkiPin(certificatePem));
  t.strictSame(await callRoute({ url, pin: '' }, route, { params: {}, body: { secret: 's' } }, { agent: good }), {
    ok: true,
  });
  const before = { requests, bytes };

  const other = pinnedAgent('0'.repeat(64));
  await t.rejects(callRoute({ url, pin: '' }, route, { params: {}, body: { secret: 's' } }, { agent: other }), {
    code: 'identity-changed',
    hint: /backend pin/,
  });
  t.strictSame({ requests, bytes }, before, 'not a byte of HTTP was sent');
  good.destroy();
  other.destroy();
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  await t.rejects(
    callRoute({ url, pin: '' }, route, { params: {}, body: { secret: 's' } }, { agent: pinnedAgent('') }),
    { code: 'unreachable' },
  );
});
