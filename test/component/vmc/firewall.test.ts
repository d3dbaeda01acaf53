/** The VM's firewall with the real nft, between two network namespaces that stand for the VM and the world (C4, DESIGN 7). */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import t from 'tap';
import { run } from '../../../shared/run.ts';
import { allowedTargets } from '../../../vmc/firewall/allowed-targets.ts';
import { Firewall, loadedRules, loadRules } from '../../../vmc/firewall/firewall.ts';
import { planRules } from '../../../vmc/firewall/plan-rules.ts';
import { inNamespace } from './in-namespace.ts';

const BOOT_RULES = new URL('../../../systemd/boot.nft', import.meta.url).pathname;
const VM = '10.77.0.2';
const WORLD = '10.77.0.1';

const ip = (...args: string[]) => run({ file: 'ip', args, timeoutMs: 10_000 });

/** Joins this namespace (the VM) by a veth pair to a second one (the world). @returns the argv prefix to run there. */
async function world(t: { teardown(step: () => void): void }): Promise<string[]> {
  const keeper = spawn('unshare', ['--net', 'sh', '-c', 'echo up; exec sleep 60'], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  t.teardown(() => keeper.kill());
  await once(keeper.stdout, 'data');
  const inWorld = ['nsenter', '--target', String(keeper.pid), '--net'];
  await ip('link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', String(keeper.pid));
  await ip('addr', 'add', `${VM}/24`, 'dev', 'eth0');
  await ip('link', 'set', 'eth0', 'up');
  for (const words of [
    'addr add 10.77.0.1/24 dev eth0',
    'addr add 10.77.0.9/24 dev eth0',
    'link set eth0 up',
    'link set lo up',
  ])
    await run({ file: 'nsenter', args: [...inWorld.slice(1), 'ip', ...words.split(' ')], timeoutMs: 10_000 });
  await ip('route', 'add', 'default', 'via', WORLD);
  return inWorld;
}

/** open: it answered · refused: it let us through to a port where nobody listens · dropped: no answer. */
function tryTcp(host: string, port: number): Promise<'open' | 'refused' | 'dropped'> {
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    const settle = (outcome: 'open' | 'refused' | 'dropped') => {
      clearTimeout(timer);
      socket.destroy();
      resolve(outcome);
    };
    const timer = setTimeout(() => settle('dropped'), 600);
    socket.once('connect', () => settle('open'));
    socket.once('error', (error: NodeJS.ErrnoException) =>
      settle(error.code === 'ECONNREFUSED' ? 'refused' : 'dropped'),
    );
  });
}

/** The same from the world's side. */
async function tryFrom(inWorld: string[], port: number): Promise<string> {
  const script = `const s=require('net').connect(${port},'${VM}');const d=(x)=>{console.log(x);process.exit()};s.on('connect',()=>d('open'));s.on('error',e=>d(e.code==='ECONNREFUSED'?'refused':'dropped'));setTimeout(()=>d('dropped'),600)`;
  const args = [...inWorld.slice(1), process.execPath, '-e', script];
  return (await run({ file: inWorld[0] ?? '', args, timeoutMs: 10_000 })).stdout.trim();
}

await inNamespace(import.meta.url, () => {
  t.test('C4 shut before vmc, then only what the plan says, replaced as a whole', async (t) => {
    const inWorld = await world(t);
    const servers = [22, 80].map((port) => createServer((socket) => socket.destroy()).listen(port, '0.0.0.0'));
    t.teardown(() => servers.map((server) => server.close()));
    await Promise.all(servers.map((server) => once(server, 'listening')));
    t.equal(await tryFrom(inWorld, 80), 'open', 'the test itself can tell: all is open without rules');
    t.equal(await tryTcp(WORLD, 8443), 'refused');
    t.equal(await loadedRules(), undefined);

    for (const again of ['once', 'twice']) {
      await run({ file: 'nft', args: ['-f', BOOT_RULES], timeoutMs: 10_000 });
      t.same(
        await Promise.all([tryFrom(inWorld, 22), tryFrom(inWorld, 80), tryTcp(WORLD, 8443)]),
        ['dropped', 'dropped', 'dropped'],
        `boot rules, loaded ${again}`,
      );
    }

    const backendUrl = `https://${WORLD}:8443`;
    const firewall = new Firewall({
      backendUrl,
      relayUrls: [`https://${WORLD}:9443`],
      tunnelPort: 22,
      allow: allowedTargets({
        network: { allow: [{ address: '10.77.0.9', port: 5000, protocol: 'tcp' }] },
        nfs: { servers: ['10.77.0.9'] },
      }),
    });
    await firewall.admit(backendUrl);
    t.match(await firewall.plan(), /ip daddr \{ [^}]*10\.77\.0\.1[^}]* \} udp dport 53 accept/, 'DNS at the gateway');
    const loaded = await loadedRules();
    t.same(await Promise.all([tryFrom(inWorld, 22), tryFrom(inWorld, 80)]), ['open', 'dropped'], 'in: port 22 alone');
    t.same(
      await Promise.all([
        tryTcp(WORLD, 8443),
        tryTcp(WORLD, 9443),
        tryTcp(WORLD, 443),
        tryTcp('10.77.0.9', 8443),
        tryTcp('10.77.0.9', 5000),
        tryTcp('10.77.0.9', 2049),
        tryTcp(WORLD, 2049),
        tryTcp(WORLD, 53),
      ]),
      ['refused', 'refused', 'dropped', 'dropped', 'refused', 'refused', 'dropped', 'refused'],
      'out: backend, relay, allow list, NFS servers and DNS alone',
    );
    t.equal(await tryTcp('127.0.0.1', 80), 'open', 'loopback is free');

    await firewall.refresh();
    await loadRules(await firewall.plan());
    t.equal(await loadedRules(), loaded, 'applying again changes nothing');
    await t.rejects(loadRules(`${await firewall.plan()}\nadd rule inet vmc input nonsense\n`), {
      code: 'command-failed',
    });
    t.equal(await loadedRules(), loaded, 'a transaction that fails leaves the old rules');

    for (const meddle of ['flush ruleset', 'insert rule inet vmc input accept', 'delete table inet vmc']) {
      t.equal(await firewall.repair(), false);
      await run({ file: 'nft', args: ['-f', '-'], stdin: meddle, timeoutMs: 10_000 });
      t.equal(await tryFrom(inWorld, 80), 'open', meddle);
      t.equal(await firewall.repair(), true, 'seen');
      t.equal(await loadedRules(), loaded, 'and put right');
    }
    t.equal(await tryFrom(inWorld, 80), 'dropped');
  });

  t.test('every plan is one that nft takes', async (t) => {
    for (const addresses of [[], ['10.0.0.1', '10.0.0.2']])
      await t.resolves(
        loadRules(
          planRules({
            tunnelPort: 2222,
            servers: [{ addresses, port: 443 }],
            resolvers: addresses,
            allow: [
              { address: '10.0.0.0/8', port: 1, protocol: 'udp' },
              { address: '1.2.3.4', port: 65535, protocol: 'tcp' },
            ],
          }),
        ),
      );
  });
});
