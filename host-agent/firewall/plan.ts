/**
 * What the host's firewall must say about the VMs, as data and as text for iptables-restore. Pure.
 * Rules are written just as iptables-save prints them, so that what is can be compared with what should be.
 * The agent has chains of its own, entered first from the built-in ones; everything else there belongs to others.
 */
export interface FirewallInput {
  bridge: string;
  /** The host's address on the bridge: DHCP and DNS. */
  gateway: string;
  subnet: string;
  /** The host's own address, which endpoints dial. */
  address: string;
  ports: { from: number; to: number };
  vms: readonly { address: string; mac: string; hostPort: number }[];
  /** Where VMs may connect to. */
  allowed: readonly { address: string; protocol: 'tcp' | 'udp'; port: number }[];
}

export type TableName = 'nat' | 'filter';

/** Table → chain → rules (without `-A CHAIN`). */
export type Chains = Readonly<Partial<Record<TableName, Readonly<Record<string, readonly string[]>>>>>;

export interface SetPlan {
  name: string;
  /** Type and its options, as `ipset create` takes them. */
  type: string;
  members: readonly string[];
}

export interface FirewallPlan {
  ipv4: Chains;
  ipv6: Chains;
  sets: readonly SetPlan[];
}

export const VM_SET = 'vmc-vms';
export const ALLOWED_SET = 'vmc-allowed';

export function planFirewall(input: FirewallInput): FirewallPlan {
  const { bridge, gateway, address, ports } = input;
  const vms = [...input.vms].sort((a, b) => a.hostPort - b.hostPort);
  const established = '-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT';
  const spoofed = `-i ${bridge} -m set ! --match-set ${VM_SET} src,src -j DROP`;
  return {
    ipv4: {
      nat: {
        'VMC-PREROUTING': [
          `-i ${bridge} -j RETURN`, // a VM does not reach another one by way of the host's address
          ...vms.map(
            (vm) => `-d ${address}/32 -p tcp -m tcp --dport ${vm.hostPort} -j DNAT --to-destination ${vm.address}:22`,
          ),
        ],
        'VMC-POSTROUTING': [
          `-s ${input.subnet} ! -o ${bridge} -m set --match-set ${ALLOWED_SET} dst,dst -j MASQUERADE`,
        ],
      },
      filter: {
        'VMC-INPUT': [
          `-i ${bridge} -p udp -m udp --sport 68 --dport 67 -j ACCEPT`,
          spoofed,
          `-i ${bridge} ${established}`,
          `-d ${gateway}/32 -i ${bridge} -p udp -m udp --dport 53 -j ACCEPT`,
          `-d ${gateway}/32 -i ${bridge} -p tcp -m tcp --dport 53 -j ACCEPT`,
          // A backend on this very host.
          `-i ${bridge} -m set --match-set ${ALLOWED_SET} dst,dst -j ACCEPT`,
          `-i ${bridge} -j DROP`,
        ],
        'VMC-FORWARD': [
          `-i ${bridge} -o ${bridge} -j DROP`,
          spoofed,
          `-i ${bridge} ${established}`,
          `-o ${bridge} ${established}`,
          // New streams to a VM: only those that PREROUTING above turned to its port 22.
          `-o ${bridge} -p tcp -m tcp --dport 22 -m conntrack --ctstate DNAT --ctorigdst ${address} --ctorigdstport ${ports.from}:${ports.to} -j ACCEPT`,
          `-i ${bridge} -m set --match-set ${ALLOWED_SET} dst,dst -m conntrack --ctstate NEW -j ACCEPT`,
          `-i ${bridge} -j DROP`,
          `-o ${bridge} -j DROP`,
        ],
      },
    },
    ipv6: {
      filter: {
        'VMC-INPUT': [`-i ${bridge} -j DROP`],
        'VMC-FORWARD': [`-i ${bridge} -j DROP`, `-o ${bridge} -j DROP`],
      },
    },
    sets: [
      {
        name: VM_SET,
        type: `bitmap:ip,mac range ${input.subnet}`,
        members: vms.map((vm) => `${vm.address},${vm.mac.toUpperCase()}`).sort(),
      },
      {
        name: ALLOWED_SET,
        type: 'hash:ip,port family inet maxelem 65536',
        members: input.allowed.map((it) => `${it.address},${it.protocol}:${it.port}`).sort(),
      },
    ],
  };
}

/** What iptables-save printed: every chain of every table with its rules. */
export type SavedRules = ReadonlyMap<string, ReadonlyMap<string, readonly string[]>>;

export function parseSave(text: string): SavedRules {
  const tables = new Map<string, Map<string, string[]>>();
  let chains = new Map<string, string[]>();
  for (const line of text.split('\n')) {
    const [head = '', ...rest] = line.split(' ');
    if (head.startsWith('*')) {
      chains = new Map();
      tables.set(head.slice(1), chains);
    } else if (head.startsWith(':')) chains.set(head.slice(1), []);
    else if (head === '-A') chains.get(rest[0] ?? '')?.push(rest.slice(1).join(' '));
  }
  return tables;
}

const builtInOf = (chain: string): string => chain.slice('VMC-'.length);
const hookCount = (saved: SavedRules, table: string, chain: string): number =>
  (saved.get(table)?.get(builtInOf(chain)) ?? []).filter((rule) => rule === `-j ${chain}`).length;

/**
 * One document for `iptables-restore --noflush`: it empties and refills the agent's chains (naming a chain empties it)
 * and enters each exactly once, first. iptables-restore commits a table as a whole.
 */
export function restoreText(chains: Chains, saved: SavedRules): string {
  const lines: string[] = [];
  for (const [table, own] of Object.entries(chains)) {
    lines.push(`*${table}`);
    for (const chain of Object.keys(own)) lines.push(`:${chain} - [0:0]`);
    for (const chain of Object.keys(own)) {
      for (let i = hookCount(saved, table, chain); i > 0; i--) lines.push(`-D ${builtInOf(chain)} -j ${chain}`);
      lines.push(`-I ${builtInOf(chain)} 1 -j ${chain}`);
    }
    for (const [chain, rules] of Object.entries(own)) for (const rule of rules) lines.push(`-A ${chain} ${rule}`);
    lines.push('COMMIT');
  }
  return `${lines.join('\n')}\n`;
}

/** For `ipset restore`: each set is filled beside the one in use and swapped in, so that no packet meets a half-filled one. */
export function ipsetText(sets: readonly SetPlan[]): string {
  return sets
    .flatMap(({ name, type, members }) => [
      `create ${name} ${type}`,
      `create ${name}-new ${type}`,
      `flush ${name}-new`,
      ...members.map((member) => `add ${name}-new ${member}`),
      `swap ${name}-new ${name}`,
      `destroy ${name}-new`,
    ])
    .map((line) => `${line}\n`)
    .join('');
}

/** `add NAME MEMBER` lines of ipset save → members, sorted; undefined when the set is not there. */
export function parseIpsetSave(text: string, name: string): string[] | undefined {
  const lines = text.split('\n');
  if (!lines.some((line) => line.startsWith(`create ${name} `))) return undefined;
  const add = `add ${name} `;
  return lines
    .filter((line) => line.startsWith(add))
    .map((line) => line.slice(add.length).trim())
    .sort();
}

/** Every difference between what should be and what is, a line each. Empty: as it should be. */
export function driftOf(
  plan: FirewallPlan,
  observed: { ipv4: SavedRules; ipv6: SavedRules; ipsets: string },
): string[] {
  const drift: string[] = [];
  for (const [family, chains, saved] of [
    ['iptables', plan.ipv4, observed.ipv4],
    ['ip6tables', plan.ipv6, observed.ipv6],
  ] as const)
    for (const [table, own] of Object.entries(chains))
      for (const [chain, rules] of Object.entries(own)) {
        const where = `${family} ${table} ${chain}`;
        const actual = saved.get(table)?.get(chain);
        if (actual === undefined) drift.push(`${where}: missing`);
        else {
          const missing = rules.filter((rule) => !actual.includes(rule));
          const foreign = actual.filter((rule) => !rules.includes(rule));
          for (const rule of missing) drift.push(`${where}: missing rule ${rule}`);
          for (const rule of foreign) drift.push(`${where}: foreign rule ${rule}`);
          if (missing.length + foreign.length === 0 && actual.join('\n') !== rules.join('\n'))
            drift.push(`${where}: the rules are in another order`);
        }
        if (saved.get(table)?.get(builtInOf(chain))?.[0] !== `-j ${chain}`)
          drift.push(`${where}: not entered first from ${builtInOf(chain)}`);
        else if (hookCount(saved, table, chain) > 1) drift.push(`${where}: entered more than once`);
      }
  for (const { name, members } of plan.sets) {
    const actual = parseIpsetSave(observed.ipsets, name);
    if (actual === undefined) drift.push(`ipset ${name}: missing`);
    else if (actual.join(' ') !== members.join(' ')) drift.push(`ipset ${name}: has other members`);
  }
  return drift;
}
