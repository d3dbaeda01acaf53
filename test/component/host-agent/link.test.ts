/** The agent's side of the link, against a small backend of the test's own on loopback that checks every signature. */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import t from 'tap';
import { type WebSocket, WebSocketServer } from 'ws';
import type * as z from 'zod';
import { type Config, configSchema } from '../../../host-agent/config.ts';
import { agentDispatcher } from '../../../host-agent/dispatch.ts';
import { makeHost } from '../../../host-agent/host.ts';
import { enrol } from '../../../host-agent/link/enrolment.ts';
import { keepLink } from '../../../host-agent/link/link.ts';
import { hostReport } from '../../../host-agent/link/report.ts';
import {
  agentMethods,
  HOST_LINK_PATH,
  HOST_REPORT,
  type HostReport,
  hostLinkAnswerSchema,
  hostReportSchema,
} from '../../../shared/agent-api/index.ts';
import { linkPipe } from '../../../shared/agent-api/link-pipe.ts';
import { utf8 } from '../../../shared/bytes.ts';
import { webSocketTransport } from '../../../shared/channel/websocket-transport.ts';
import type { PublicIdentity } from '../../../shared/identity/identity.ts';
import { verifyStatement } from '../../../shared/identity/statement.ts';
import type { Log } from '../../../shared/log.ts';
import { makeCertificate, spkiPin } from '../../../shared/net/certificate.ts';
import { TLS_OPTIONS } from '../../../shared/net/tls.ts';
import { RELAY_CLOSE, statementContexts } from '../../../shared/relay-wire.ts';
import { machineRoutes } from '../../../shared/rest-api/machines.ts';
import { RpcPeer } from '../../../shared/rpc/peer.ts';

const HOST_ID = 'host-0123456789ab';
const token = randomBytes(32);

type Enrolment = z.output<typeof machineRoutes.hostEnrol.body>;

/** Knows one token. `links` gives each accepted link in turn. */
async function startTestBackend() {
  const { certificatePem, privateKeyPem } = makeCertificate('test', 'serverAuth', 1, new Date());
  const pin = spkiPin(certificatePem);
  let enrolled: PublicIdentity | undefined;
  const links: { peer: RpcPeer; socket: WebSocket; reports: HostReport[] }[] = [];
  const waiting: (() => void)[] = [];
  const wake = () => {
    for (const resolve of waiting.splice(0)) resolve();
  };

  const server = createServer({ ...TLS_OPTIONS, cert: certificatePem, key: privateKeyPem }, async (request, answer) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    const body: Enrolment = machineRoutes.hostEnrol.body.parse(JSON.parse(Buffer.concat(chunks).toString()));
    const { ed25519, x25519, mlkem768 } = body.identity;
    const parts = [body.enrolToken, utf8(body.hostId), ed25519, x25519, mlkem768, utf8(body.address)];
    const right =
      token.equals(body.enrolToken) &&
      verifyStatement(ed25519, statementContexts.enrolHost, parts, body.signature as never);
    if (right) enrolled = body.identity;
    answer.writeHead(right ? 200 : 401, { 'content-type': 'application/json' });
    answer.end(
      JSON.stringify(right ? {} : { error: { code: 'unauthenticated', message: 'That token is not known.' } }),
    );
  });
  const sockets = new WebSocketServer({ server, path: HOST_LINK_PATH });
  sockets.on('connection', (socket) => {
    const challenge = randomBytes(32);
    socket.once('message', (data) => {
      const { hostId, signature } = hostLinkAnswerSchema.parse(JSON.parse(String(data)));
      const parts = [challenge, utf8(hostId), utf8(pin)];
      if (
        enrolled === undefined ||
        !verifyStatement(enrolled.ed25519, statementContexts.hostLink, parts, Buffer.from(signature, 'base64') as never)
      )
        return socket.close(RELAY_CLOSE.unauthenticated);
      const reports: HostReport[] = [];
      const peer = new RpcPeer(linkPipe(webSocketTransport(socket)), {
        onNotification: (method, params) => {
          if (method === HOST_REPORT) reports.push(hostReportSchema.parse(params));
          wake();
        },
      });
      links.push({ peer, socket, reports });
      wake();
    });
    socket.send(JSON.stringify({ type: 'challenge', challenge: challenge.toString('base64') }));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `https://127.0.0.1:${(server.address() as AddressInfo).port}`,
    pin,
    links,
    forget: () => {
      enrolled = undefined;
    },
    async until(condition: () => boolean) {
      while (!condition()) await new Promise<void>((resolve) => waiting.push(resolve));
    },
    async close() {
      for (const { socket } of links) socket.terminate();
      sockets.close();
      server.closeAllConnections();
      server.close();
    },
  };
}

function recordingLog(): Log & { events: { event: string; fields: Record<string, unknown> }[] } {
  const events: { event: string; fields: Record<string, unknown> }[] = [];
  const note = (event: string, fields: Record<string, unknown> = {}) => void events.push({ event, fields });
  return { events, info: note, warn: note, error: note };
}

function configFor(folder: string, backend: { url: string; pin: string }): Config {
  return configSchema.parse({
    address: '10.91.2.2',
    stateDir: join(folder, 'state'),
    libvirtUri: 'qemu:///system?socket=/nowhere/libvirt-sock',
    backend,
    pools: { images: folder, drives: folder, isos: join(folder, 'isos'), reserveMiB: 0 },
  });
}

t.test('enrol, link, answer, report, come back', async (t) => {
  const backend = await startTestBackend();
  t.teardown(() => backend.close());
  const folder = t.testdir();
  const isos = join(folder, 'isos');
  await mkdir(isos);
  const config = configFor(folder, { url: backend.url, pin: backend.pin });

  await t.test('enrolment: a wrong token is refused; the keys are for root alone', async (t) => {
    await t.rejects(enrol(config, HOST_ID, utf8(randomBytes(32).toString('base64'))), { code: 'unauthenticated' });
    await t.rejects(enrol(config, HOST_ID, utf8('short')), { code: 'bad-request' });
    await t.rejects(enrol(config, '../x', utf8(token.toString('base64'))), { code: 'bad-request' });
    await enrol(config, HOST_ID, utf8(`${token.toString('base64')}\n`));
    const path = join(config.stateDir, 'identity');
    t.equal((await stat(path)).mode & 0o777, 0o600);
    const before = await readFile(path, 'utf8');
    await enrol(config, HOST_ID, utf8(token.toString('base64')));
    t.equal(await readFile(path, 'utf8'), before, 'enrolling again keeps the keys');
  });

  const host = makeHost(config);
  const log = recordingLog();
  const stop = new AbortController();
  let vms: HostReport['vms'] = [];
  const link = keepLink(
    {
      config,
      log,
      handle: agentDispatcher(host, () => {}),
      report: async () => ({ ...(await hostReport(host)), vms }),
      random: () => 0,
    },
    stop.signal,
  );

  await t.test('a report comes first; libvirt being down is in it', async (t) => {
    await backend.until(() => backend.links[0]?.reports.length === 1);
    t.match(backend.links[0]?.reports[0], { libvirt: { ok: false, problem: /does not answer/ }, vms: [] });
    t.equal(log.events[0]?.event, 'linked');
    await link.report();
    await backend.until(() => backend.links[0]?.reports.length === 2);
  });

  await t.test('the backend asks, also what needs no libvirt', async (t) => {
    const peer = backend.links[0]?.peer;
    const driveId = 'drv0123456789abcdef';
    const made = await peer?.call(agentMethods.driveCreate, { driveId, format: 'raw', sizeBytes: 16 * 1024 * 1024 });
    t.match(made, { driveId, sizeBytes: 16 * 1024 * 1024 });
    t.ok(peer);
    if (peer === undefined) return;
    await t.rejects(peer.call(agentMethods.vmStatus, { vmId: 'vm-0123456789ab' }), { code: 'libvirt-down' });
    await t.rejects(peer.call(agentMethods.vmStatus, { vmId: '; reboot' }), { code: 'bad-request' });
  });

  await t.test('H9: many VMs with many drives and many ISO images are no reason to cut it', async (t) => {
    const id = (i: number, digits: number) => i.toString(16).padStart(digits, '0');
    const attached = Array.from({ length: 8 }, (_, i) => ({ driveId: `drv${id(i, 16)}`, readOnly: false }));
    vms = Array.from({ length: 500 }, (_, i) => ({ vmId: `vm-${id(i, 12)}`, state: 'running' as const, attached }));
    const [first] = backend.links;
    await link.report();
    await backend.until(() => first?.reports.length === 3);
    t.equal(first?.reports[2]?.vms.length, 500);
    vms = [];
    for (let i = 0; i < 1000; i++) await writeFile(join(isos, `${id(i, 64)}.iso`), '');
    const listed = await first?.peer.call(agentMethods.isoList, {});
    t.equal(listed?.isos.length, 1000);
    t.equal(backend.links.length, 1);
  });

  await t.test('a report that is too long is not sent, and the link stays', async (t) => {
    const attached = Array.from({ length: 254 }, () => ({ driveId: `drv${'0'.repeat(16)}`, readOnly: false }));
    vms = Array.from({ length: 1000 }, () => ({ vmId: 'vm-000000000000', state: 'off' as const, attached }));
    await t.rejects(link.report(), { code: 'limit' });
    vms = [];
    await link.report();
    await backend.until(() => backend.links[0]?.reports.length === 4);
    t.equal(backend.links.length, 1);
  });

  await t.test('C1: a cut link comes back by itself', async (t) => {
    backend.links[0]?.socket.terminate();
    await backend.until(() => (backend.links[1]?.reports.length ?? 0) > 0);
    t.strictSame(
      log.events.map((it) => it.event),
      ['linked', 'not-linked', 'linked'],
    );
    t.match(log.events[1]?.fields, { code: 'channel-closed' });
  });

  await t.test('it ends when told to', async () => {
    stop.abort();
    await link.ended;
  });

  await t.test('a backend that no longer knows the host is no link', async (t) => {
    backend.forget();
    const again = new AbortController();
    const refused = recordingLog();
    const told = new Promise<void>((resolve) => {
      const warn = refused.warn;
      refused.warn = (event, fields) => {
        warn(event, fields);
        resolve();
      };
    });
    const second = keepLink(
      {
        config,
        log: refused,
        handle: agentDispatcher(host, () => {}),
        report: () => hostReport(host),
        random: () => 0,
      },
      again.signal,
    );
    await told;
    again.abort();
    await second.ended;
    t.match(refused.events, [{ event: 'not-linked', fields: { code: 'unauthenticated' } }]);
  });

  await t.test('a backend with another key is none', async (t) => {
    const other = configFor(folder, { url: backend.url, pin: 'ab'.repeat(32) });
    await t.rejects(enrol(other, HOST_ID, utf8(token.toString('base64'))), { code: 'identity-changed' });
  });
});
