/**
 * The VM's firewall as one text for `nft -f -` (nft(8)): the table `inet vmc` is replaced as a whole, in one transaction.
 * systemd/boot.nft is the same table, shut, before there is a network. IPv6: only loopback; the VM has no other.
 */
import type { AllowedTarget } from './parse-target.ts';

export interface FirewallFacts {
  /** vmc's own port. */
  tunnelPort: number;
  /** The backend, and relays that run elsewhere. */
  servers: readonly { addresses: readonly string[]; port: number }[];
  /** Where DNS may be asked: the resolver, or the gateway. */
  resolvers: readonly string[];
  allow: readonly AllowedTarget[];
}

const REPLACE_TABLE = ['table inet vmc', 'delete table inet vmc', 'table inet vmc {'];

/** @returns nft's language; the same facts give the same text. */
export function planRules(facts: FirewallFacts): string {
  const { servers, resolvers, allow } = facts;
  return [
    ...REPLACE_TABLE,
    ...chain('input', [
      'iif "lo" accept',
      'ct state invalid drop',
      'ct state established,related accept', // related: the ICMP errors of our own connections
      'meta nfproto ipv6 drop',
      `tcp dport ${facts.tunnelPort} accept`,
      'udp sport 67 udp dport 68 accept', // DHCP
    ]),
    ...chain('forward', []),
    ...chain('output', [
      'oif "lo" accept',
      'ct state invalid drop',
      'ct state established,related accept',
      'meta nfproto ipv6 drop',
      'udp sport 68 udp dport 67 accept', // DHCP
      ...servers
        .filter(({ addresses }) => addresses.length > 0)
        .map(({ addresses, port }) => `ip daddr ${set(addresses)} tcp dport ${port} accept`),
      ...(resolvers.length === 0
        ? []
        : [`ip daddr ${set(resolvers)} udp dport 53 accept`, `ip daddr ${set(resolvers)} tcp dport 53 accept`]),
      ...allow.map(({ address, port, protocol }) => `ip daddr ${address} ${protocol} dport ${port} accept`),
    ]),
    '}',
    '',
  ].join('\n');
}

function chain(hook: 'input' | 'forward' | 'output', rules: readonly string[]): string[] {
  return [
    `\tchain ${hook} {`,
    `\t\ttype filter hook ${hook} priority filter; policy drop;`,
    ...rules.map((rule) => `\t\t${rule}`),
    '\t}',
  ];
}

const set = (addresses: readonly string[]) => `{ ${[...new Set(addresses)].sort().join(', ')} }`;
