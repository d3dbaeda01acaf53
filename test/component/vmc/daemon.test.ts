/** The whole daemon as a process of its own, on port 22 of a fresh network namespace, with a relay on its loopback. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, statSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import t from 'tap';
import { controlMethods } from '../../../shared/api/index.ts';
import { fingerprint } from '../../../shared/identity/fingerprint.ts';
import { generateIdentity } from '../../../shared/identity/identity.ts';
import { certificateSha256, makeCertificate } from '../../../shared/net/certificate.ts';
import { run } from '../../../shared/run.ts';
import { runCli } from '../../../vmc/cli.ts';
import { setUp, VM_ID } from './daemon-process.ts';
import { inNamespace } from './in-namespace.ts';

function* endless() {
  for (;;) yield Buffer.alloc(64 * 1024);
}

await inNamespace(import.meta.url, () => {
  t.test('C1 C2 C5 parks, serves its owner, tunnels, refuses a stranger, starts again as itself', async (t) => {
    const web = createServer((request, answer) => {
      if (request.url === '/endless') Readable.from(endless()).pipe(answer);
      else answer.end('from inside');
    }).listen(0, '127.0.0.1');
    await once(web, 'listening');
    t.teardown(() => web.close());
    const port = (web.address() as AddressInfo).port;
    const { dir, owner, relay, config, stateDir, start, connect, audit } = await setUp(t, { ports: [port] });
    const vmc = start();
    await vmc.said(/"event":"parked"/);
    t.match(vmc.output, /^vmc: VM data fingerprint SHA256:/m, 'C4 the fingerprint shows on the console');
    t.equal(relay.enrolments, 1);
    t.equal(relay.idle, 1, 'one socket is parked');
    for (const file of ['identity', 'owner.json', 'bootstrap.json', 'audit.log', 'relay.json'])
      t.equal(statSync(join(stateDir, file)).mode & 0o777, 0o600, `${file} is for root only`);
    t.equal(statSync(stateDir).mode & 0o777, 0o700);

    const rpc = await connect(owner);
    const info = await rpc.call(controlMethods.systemInfo, {});
    t.match(info, { vmId: VM_ID, name: 'data', ownerFingerprint: fingerprint(owner.public.ed25519) });
    t.ok((info.secondsToPark ?? 99) < 10);
    t.ok(info.rssBytes < 200 * 1024 * 1024);
    t.same(await rpc.call(controlMethods.systemPing, { payload: 'MARKER-ping' }), { payload: 'MARKER-ping' });
    t.notOk(Buffer.concat(relay.captured).includes('MARKER-ping'), 'the relay sees nothing of it');
    await t.rejects(rpc.call(controlMethods.driveTrim, { driveId: 'drv0123456789abcdef' }), { code: 'wrong-state' });
    t.same(await rpc.call(controlMethods.driveList, {}), { drives: [] });

    const device = makeCertificate('device', 'clientAuth', 1, new Date());
    const sha = certificateSha256(device.certificatePem);
    const opened = await rpc.call(controlMethods.tunnelOpen, { certificateSha256: sha });
    t.same(opened.ports, [{ from: port, to: port }]);
    await writeFile(join(dir, 'cert.pem'), device.certificatePem);
    await writeFile(join(dir, 'key.pem'), device.privateKeyPem);
    const curlArgs = (target: string) =>
      [
        ['-sS', '--max-time', '10', '--proxytunnel', '--proxy', 'https://127.0.0.1:22', '--proxy-insecure'],
        ['--proxy-cert', join(dir, 'cert.pem'), '--proxy-key', join(dir, 'key.pem'), target],
      ].flat();
    const curl = (target: string) =>
      run({ file: 'curl', args: curlArgs(target), timeoutMs: 15_000, okExitCodes: [0, 35, 56] });
    t.equal((await curl(`http://localhost:${port}/`)).stdout, 'from inside');
    t.match((await curl('http://localhost:1/')).stderr, /403/, 'a port that is not listed');
    t.same(await rpc.call(controlMethods.tunnelClose, { certificateSha256: sha }), { closedStreams: 0 });
    t.equal((await curl(`http://localhost:${port}/`)).stdout, '', 'nothing at all after the grant has ended');
    await rpc.close();

    await t.rejects(connect(generateIdentity()), { code: 'channel-closed' }, 'C2 a stranger sees a closed socket');
    const last = await connect(owner);
    t.pass('the next socket was parked');
    await last.call(controlMethods.tunnelOpen, { certificateSha256: sha });
    const flood = spawn('curl', [...curlArgs(`http://localhost:${port}/endless`), '--limit-rate', '1M'], {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    await once(flood.stdout, 'data');
    const flooded = once(flood.stdout.resume(), 'close');
    const asked = performance.now();
    t.equal(await vmc.stop(), 0);
    t.ok(performance.now() - asked < 5000, 'it ends soon, also in the middle of a stream');
    await flooded;
    t.match(
      audit().map(({ what, result }) => `${what} ${result}`),
      [
        'log.file undefined',
        'log.checkpoint undefined',
        'owner.learned ok',
        'channel.open ok',
        'drive.trim begun',
        'drive.trim wrong-state',
        'tunnel.open begun',
        'tunnel.open ok',
        'tunnel.refused port-not-allowed',
        'tunnel.close begun',
        'tunnel.end closed',
        'tunnel.close ok',
        'channel.close ok',
        'channel.refused unknown-person',
        'channel.open ok',
        'tunnel.open begun',
        'tunnel.open ok',
        'channel.close ok',
        'tunnel.end stopped',
        'log.checkpoint undefined',
      ],
    );
    t.same(
      audit().map(({ seq }) => seq),
      audit().map((_, i) => i + 1),
      'numbered without a gap',
    );

    const before = /fingerprint (\S+)/.exec(vmc.output)?.[1];
    const again = start(false);
    await again.said(/"event":"parked"/);
    t.equal(/fingerprint (\S+)/.exec(again.output)?.[1], before, 'the same keys, also without a bootstrap');
    t.equal(relay.enrolments, 1, 'no need to enrol again');

    const cli = async (...words: string[]) => {
      const stdout = new PassThrough();
      const deps = { stdout, stderr: new PassThrough(), daemon: async () => 0, credentialsFolder: undefined };
      const code = await runCli([...words, '--config', config], deps);
      return { code, stdout: String(stdout.read() ?? '') };
    };
    t.equal((await cli('fingerprint')).stdout.trim(), before);
    t.match(JSON.parse((await cli('status', '--json')).stdout), {
      vmId: VM_ID,
      enrolled: true,
      portOwner: { isVmc: true },
    });
    const doctor = await cli('doctor', '--json');
    t.match(JSON.parse(doctor.stdout), { ok: true });
    t.match((await cli('firewall', 'show')).stdout, /tcp dport 22 accept/);
    t.match((await cli('firewall', 'show', '--loaded')).stdout, /policy drop/, 'C4 the rules are in the kernel');
    t.match((await cli('drive', 'list')).stdout, /No drive/);
  });

  t.test('C3 another owner in the bootstrap: refuses to serve, says so, changes nothing', async (t) => {
    const { start, bootstrap, stateDir, audit, relay } = await setUp(t);
    const first = start();
    await first.said(/"event":"parked"/);
    await first.stop();
    const kept = ['owner.json', 'bootstrap.json', 'identity'].map((name) => readFileSync(join(stateDir, name)));
    await bootstrap(generateIdentity());
    const second = start();
    t.equal(await second.exited, 76);
    t.match(second.output, /^vmc: The bootstrap names the owner SHA256:\S+, but this VM belongs to SHA256:/m);
    t.match(second.output, /^ {2}hint: /m);
    t.match(
      audit().findLast(({ who }) => who !== undefined),
      { what: 'bootstrap.refused', result: 'owner-mismatch' },
    );
    t.same(
      ['owner.json', 'bootstrap.json', 'identity'].map((name) => readFileSync(join(stateDir, name))),
      kept,
    );
    t.equal(relay.idle, 0);
  });

  t.test('a missing or a wrong bootstrap is one clear error', async (t) => {
    const { start, dir } = await setUp(t);
    const missing = start(false);
    t.equal(await missing.exited, 78);
    t.match(missing.output, /^vmc: This VM has no bootstrap document\.\n {2}hint: .*vmc\.bootstrap/m);
    await writeFile(join(dir, 'credentials/vmc.bootstrap'), '{"version":1,"vm":{"id":"x","name":"data"}}');
    const wrong = start();
    t.equal(await wrong.exited, 78);
    t.match(wrong.output, /vm\.id: a VM id looks like/, 'names the field');
  });

  t.test('C4 somebody else on port 22 is an error that names them', async (t) => {
    const { start } = await setUp(t);
    const sshd = spawn('openssl', ['s_server', '-accept', '22', '-nocert'], { stdio: ['ignore', 'pipe', 'ignore'] });
    t.teardown(() => sshd.kill());
    await once(sshd.stdout, 'data');
    const vmc = start();
    t.equal(await vmc.exited, 71);
    t.match(vmc.output, new RegExp(`^vmc: openssl \\(pid ${sshd.pid}\\) owns port 22`, 'm'));
    t.match(vmc.output, /ssh\.service ssh\.socket/);
  });

  t.test('C1 waits for a backend that is down, and parks when it comes', async (t) => {
    const { start, relay, config, stateDir } = await setUp(t);
    const { port } = new URL(
      JSON.parse(readFileSync(join(config, '../credentials/vmc.bootstrap'), 'utf8')).backend.url,
    );
    await relay.close();
    const vmc = start();
    await vmc.said(/"event":"not-parked".*"code":"unreachable"/);
    await relay.listen(Number(port));
    await vmc.said(/"event":"parked"/);
    t.ok(statSync(join(stateDir, 'owner.json')));
    t.equal(await vmc.stop(), 0);
  });

  t.test('a backend with another key is not trusted', async (t) => {
    const { start, relay } = await setUp(t, { pin: '00'.repeat(32) });
    const vmc = start();
    await vmc.said(/"code":"identity-changed"/);
    t.equal(relay.enrolments, 0, 'not a byte was sent to it');
  });
});
