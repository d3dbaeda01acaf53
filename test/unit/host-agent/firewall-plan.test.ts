import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import {
  driftOf,
  type FirewallInput,
  ipsetText,
  parseIpsetSave,
  parseSave,
  planFirewall,
  restoreText,
} from '../../../host-agent/firewall/plan.ts';

const input: FirewallInput = {
  bridge: 'vmcbr0',
  gateway: '10.92.0.1',
  subnet: '10.92.0.0/24',
  address: '192.0.2.10',
  ports: { from: 20000, to: 20999 },
  vms: [
    { address: '10.92.0.20', mac: '52:00:00:00:00:02', hostPort: 20018 },
    { address: '10.92.0.10', mac: '52:00:00:00:00:01', hostPort: 20008 },
  ],
  allowed: [{ address: '198.51.100.7', protocol: 'tcp', port: 8443 }],
};
const plan = planFirewall(input);

t.test('H4 H5: the whole text', async (t) => {
  const text = [ipsetText(plan.sets), restoreText(plan.ipv4, new Map()), restoreText(plan.ipv6, new Map())].join('\n');
  t.equal(text, await readFile(join(import.meta.dirname, 'golden/firewall.txt'), 'utf8'));
});

/** What a machine would print after `text` was applied, by the rules of iptables-restore --noflush. */
function applied(text: string): string {
  const lines = text.split('\n');
  const hooks = lines.filter((line) => line.startsWith('-I ')).map((line) => line.replace(/^-I (\S+) 1/, '-A $1'));
  const builtIns = hooks.map((line) => `:${line.split(' ')[1]} ACCEPT [0:0]`);
  return lines
    .flatMap((line) => (line.startsWith('*') ? [line, ...builtIns, ...hooks] : line.startsWith('-I ') ? [] : [line]))
    .join('\n');
}

const observed = {
  ipv4: parseSave(applied(restoreText(plan.ipv4, new Map()))),
  ipv6: parseSave(applied(restoreText(plan.ipv6, new Map()))),
  ipsets: [
    'create vmc-vms bitmap:ip,mac range 10.92.0.0-10.92.0.255',
    'add vmc-vms 10.92.0.10,52:00:00:00:00:01',
    'add vmc-vms 10.92.0.20,52:00:00:00:00:02',
    'create vmc-allowed hash:ip,port family inet',
    'add vmc-allowed 198.51.100.7,tcp:8443',
  ].join('\n'),
};

t.test('what was applied shows no drift', async (t) => {
  t.strictSame(driftOf(plan, observed), []);
});

t.test('applying again enters each chain once, however often it was entered', async (t) => {
  const saved = parseSave(
    '*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -j VMC-INPUT\n-A INPUT -j theirs\n-A INPUT -j VMC-INPUT\nCOMMIT',
  );
  const text = restoreText(plan.ipv4, saved).split('\n');
  t.equal(text.filter((line) => line === '-D INPUT -j VMC-INPUT').length, 2);
  t.equal(text.filter((line) => line === '-I INPUT 1 -j VMC-INPUT').length, 1);
  t.notOk(
    text.some((line) => line.includes('theirs')),
    'a rule of others is not named',
  );
});

t.test('H7: every kind of drift is named', async (t) => {
  const change = (from: string, to: string) => ({
    ...observed,
    ipv4: parseSave(applied(restoreText(plan.ipv4, new Map())).replaceAll(from, to)),
  });
  t.match(driftOf(plan, { ...observed, ipv4: new Map() }).join('\n'), 'VMC-INPUT: missing');
  t.match(
    driftOf(plan, change('-A VMC-FORWARD -i vmcbr0 -o vmcbr0 -j DROP\n', '')).join(),
    'missing rule -i vmcbr0 -o vmcbr0 -j DROP',
  );
  t.match(
    driftOf(plan, change('-A VMC-INPUT', '-A VMC-INPUT -j ACCEPT\n-A VMC-INPUT')).join(),
    'foreign rule -j ACCEPT',
  );
  t.match(driftOf(plan, change('-A INPUT', '-A INPUT -j theirs\n-A INPUT')).join(), 'not entered first');
  t.match(
    driftOf(plan, change('-A INPUT -j VMC-INPUT', '-A INPUT -j VMC-INPUT\n-A INPUT -j VMC-INPUT')).join(),
    'more than once',
  );
  const lines = applied(restoreText(plan.ipv4, new Map())).split('\n');
  const at = lines.findIndex((line) => line.startsWith('-A VMC-FORWARD'));
  const swapped = lines.toSpliced(at, 2, lines[at + 1] ?? '', lines[at] ?? '').join('\n');
  t.match(driftOf(plan, { ...observed, ipv4: parseSave(swapped) }).join(), 'another order');
  t.match(driftOf(plan, { ...observed, ipsets: '' }).join(), 'ipset vmc-vms: missing');
  t.match(
    driftOf(plan, { ...observed, ipsets: observed.ipsets.replace('tcp:8443', 'tcp:22') }).join(),
    'vmc-allowed: has other members',
  );
});

t.test('ipset members', async (t) => {
  t.strictSame(parseIpsetSave('create a hash:ip\nadd a 2\nadd a 1\nadd ab 3\n', 'a'), ['1', '2']);
  t.equal(parseIpsetSave('create ab hash:ip\n', 'a'), undefined);
});
