/** Real packets: namespaces stand for two VMs on the bridge, for the backend and for a stranger; the rules are the agent's. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import * as z from 'zod';
import { allocate, macOf } from '../../../host-agent/network/allocation.ts';
import { subnetOf } from '../../../host-agent/network/subnet.ts';
import { run } from '../../../shared/run.ts';
import { HOST_ADDRESS, type HostBox, ip, makeHostBox } from './support/host-box.ts';

const [A, B] = ['vm-aaaaaaaaaaaa', 'vm-bbbbbbbbbbbb'];

/** Joins a new namespace to the box by a veth pair, whose end in the box is called `to-NAME`. */
async function addMachine(box: HostBox, name: string, address: string, gateway: string, mac?: string): Promise<string> {
  const namespace = await box.addNamespace(name);
  await ip(
    '-n',
    box.namespace,
    'link',
    'add',
    `to-${name}`,
    'type',
    'veth',
    'peer',
    'name',
    'eth0',
    'netns',
    namespace,
  );
  if (mac !== undefined) await ip('-n', namespace, 'link', 'set', 'eth0', 'address', mac);
  await ip('-n', namespace, 'address', 'add', `${address}/24`, 'dev', 'eth0');
  await ip('-n', namespace, 'link', 'set', 'eth0', 'up');
  await ip('-n', box.namespace, 'link', 'set', `to-${name}`, 'up');
  await ip('-n', namespace, 'route', 'add', 'default', 'via', gateway);
  return namespace;
}

/** Starts TCP servers in a namespace that greet; resolves once they listen. */
async function listen(box: HostBox, machine: string, ports: readonly number[]): Promise<void> {
  const script = `const { createServer } = require('node:net');
    Promise.all(${JSON.stringify(ports)}.map((port) => new Promise((done) =>
      createServer((s) => s.on('error', () => {}).end('hello ' + s.remoteAddress)).listen(port, '0.0.0.0', done))))
    .then(() => console.log('up'))`;
  const child = await box.start(machine, ['-e', script]);
  await new Promise((resolve, reject) => {
    child.stdout?.once('data', resolve);
    child.once('exit', () => reject(new Error(`the server in ${machine} ended`)));
  });
}

/** What a TCP connection from `machine` gets: the greeting, or undefined. bash alone, as a Node for each would be slow. */
async function greeting(machine: string, address: string, port: number): Promise<string | undefined> {
  const { stdout } = await run({
    file: 'ip',
    args: [
      'netns',
      'exec',
      machine,
      'timeout',
      '0.5',
      'bash',
      '-c',
      'exec 3<>"/dev/tcp/$0/$1" && cat <&3',
      address,
      String(port),
    ],
    okExitCodes: [0, 1, 124],
    timeoutMs: 5000,
  });
  return stdout === '' ? undefined : stdout;
}

type Way = readonly [what: string, machine: string, address: string, port: number];

/** None of these gets an answer; all at once, as each takes its time to be sure. */
async function closed(t: Test, ways: readonly Way[]): Promise<void> {
  const answers = await Promise.all(ways.map(([, machine, address, port]) => greeting(machine, address, port)));
  for (const [i, [what]] of ways.entries()) t.equal(answers[i], undefined, `closed: ${what}`);
}

t.setTimeout(180_000);

t.test('H4 H5: what passes and what does not', async (t) => {
  const box = await makeHostBox({ libvirt: false });
  t.teardown(() => box.remove());

  // The bridge as libvirt would make it, and two VMs as records and as namespaces on it.
  const taken: ReturnType<typeof allocate>[] = [];
  await mkdir(join(box.stateDir, 'vms'), { recursive: true });
  for (const vmId of [A, B]) {
    const allocation = allocate(vmId, taken, subnetOf('10.92.0.0/24'), { from: 20000, to: 20999 });
    taken.push(allocation);
    const spec = { vmId, image: 'blank', cores: 1, memoryMiB: 256 };
    await writeFile(
      join(box.stateDir, `vms/${vmId}.json`),
      JSON.stringify({ spec, mac: macOf(vmId), createdAt: 1, ...allocation }),
    );
  }
  const [first, second] = taken as [(typeof taken)[0], (typeof taken)[0]];
  await ip('-n', box.namespace, 'link', 'add', 'vmcbr0', 'type', 'bridge');
  await ip('-n', box.namespace, 'address', 'add', '10.92.0.1/24', 'dev', 'vmcbr0');
  await ip('-n', box.namespace, 'link', 'set', 'vmcbr0', 'up');
  await box.inNamespace('sysctl', '-qw', 'net.ipv4.ip_forward=1');
  const vmA = await addMachine(box, 'a', first.address, '10.92.0.1', macOf(A));
  const vmB = await addMachine(box, 'b', second.address, '10.92.0.1', macOf(B));
  for (const name of ['to-a', 'to-b']) {
    await ip('-n', box.namespace, 'link', 'set', name, 'master', 'vmcbr0');
    await box.inNamespace('bridge', 'link', 'set', 'dev', name, 'isolated', 'on');
  }
  await ip('-n', box.namespace, 'link', 'delete', 'uplink'); // in its place:
  const backend = await addMachine(box, 'backend', '10.91.2.1', HOST_ADDRESS);
  await ip('-n', box.namespace, 'address', 'add', `${HOST_ADDRESS}/24`, 'dev', 'to-backend');
  const stranger = await addMachine(box, 'stranger', '10.93.0.9', '10.93.0.1');
  await ip('-n', box.namespace, 'address', 'add', '10.93.0.1/24', 'dev', 'to-stranger');
  await Promise.all([
    listen(box, vmA, [22, 80]),
    listen(box, vmB, [22]),
    listen(box, backend, [8443, 8444, 9000]),
    listen(box, stranger, [8443]),
    listen(box, box.namespace, [7000]),
  ]);

  await t.test('without the rules all of it would pass: the test can fail', async (t) => {
    t.match(await greeting(vmA, '10.91.2.1', 9000), /hello/);
    t.match(await greeting(vmA, '10.92.0.1', 7000), /hello/);
    t.match(await greeting(stranger, first.address, 80), /hello/);
  });

  await box.inNamespace('iptables', '-A', 'FORWARD', '-p', 'tcp', '--dport', '4444', '-j', 'ACCEPT');
  await box.inNamespace('iptables', '-P', 'FORWARD', 'DROP'); // as Docker leaves it
  const applied = z.object({ corrected: z.array(z.string()) });
  t.not(applied.parse(await box.json(['firewall', 'apply'])).corrected.length, 0);
  const rules = await box.inNamespace('iptables-save');
  t.strictSame(await box.json(['firewall', 'apply']), { corrected: [] }, 'applying twice changes nothing');
  const withoutTimes = (text: string) => text.replace(/^#.*$/gm, '').replace(/\[\d+:\d+\]/g, '');
  t.equal(withoutTimes(await box.inNamespace('iptables-save')), withoutTimes(rules));
  t.match(rules, '-A FORWARD -p tcp -m tcp --dport 4444 -j ACCEPT', 'a rule of others is still there');

  await t.test('in: the forwarded port leads to port 22, and only there', async (t) => {
    t.equal(await greeting(backend, HOST_ADDRESS, first.hostPort), 'hello 10.91.2.1', 'the source stays to be seen');
    t.match(await greeting(backend, HOST_ADDRESS, second.hostPort), /hello/);
    await closed(t, [
      ['a port of no VM', backend, HOST_ADDRESS, first.hostPort === 20500 ? 20501 : 20500],
      ["the VM's own address", backend, first.address, 22],
      ['another port of it', stranger, first.address, 80],
    ]);
  });

  await t.test('out: the backend and its relays, and nothing else', async (t) => {
    t.equal(await greeting(vmA, '10.91.2.1', 8443), `hello ${HOST_ADDRESS}`, 'masqueraded');
    t.match(await greeting(vmA, '10.91.2.1', 8444), /hello/, 'a relay that the configuration names');
    await closed(t, [
      ['another port of it', vmA, '10.91.2.1', 9000],
      ['another machine', vmA, '10.93.0.9', 8443],
    ]);
  });

  await t.test('VM to VM and VM to host', async (t) => {
    await closed(t, [
      ['the other VM', vmA, second.address, 22],
      ["the other VM by the host's address", vmA, HOST_ADDRESS, second.hostPort],
      ['the host on the bridge', vmA, '10.92.0.1', 7000],
      ["the host's other address", vmA, HOST_ADDRESS, 7000],
    ]);
    t.match(
      await greeting(backend, HOST_ADDRESS, 7000),
      /hello/,
      "the host's other doors are none of the agent's business",
    );
  });

  await t.test("another VM's address is of no use", async (t) => {
    await ip('-n', vmA, 'address', 'add', '10.92.0.250/24', 'dev', 'eth0');
    await ip('-n', vmA, 'route', 'replace', 'default', 'via', '10.92.0.1', 'src', '10.92.0.250');
    t.equal(await greeting(vmA, '10.91.2.1', 8443), undefined, 'an address of nobody');
    await ip('-n', vmA, 'address', 'add', `${second.address}/32`, 'dev', 'eth0');
    await ip('-n', vmA, 'route', 'replace', 'default', 'via', '10.92.0.1', 'src', second.address);
    t.equal(await greeting(vmA, '10.91.2.1', 8443), undefined, "another VM's");
    await ip('-n', vmA, 'address', 'delete', `${second.address}/32`, 'dev', 'eth0');
    await ip('-n', vmA, 'route', 'replace', 'default', 'via', '10.92.0.1', 'src', first.address);
    t.match(await greeting(vmA, '10.91.2.1', 8443), /hello/, 'with its own again');
  });

  await t.test('drift is seen and put right', async (t) => {
    await box.inNamespace('iptables', '-I', 'VMC-FORWARD', '-j', 'ACCEPT');
    await box.inNamespace('ipset', 'flush', 'vmc-allowed');
    const check = await box.agent(['firewall', 'check']);
    t.equal(check.exitCode, 69);
    t.match(check.stdout, /foreign rule -j ACCEPT/);
    t.match(check.stdout, /vmc-allowed: has other members/);
    await box.json(['firewall', 'apply']);
    t.match(await box.agent(['firewall', 'check']), { exitCode: 0 });
    t.match(await greeting(vmA, '10.91.2.1', 8443), /hello/);
  });

  await t.test('IPv6 is closed on the bridge', async (t) => {
    t.match(await box.inNamespace('ip6tables-save'), '-A VMC-FORWARD -i vmcbr0 -j DROP');
  });
});
