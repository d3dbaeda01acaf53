import t from 'tap';
import { gateways, nameservers } from '../../../vmc/firewall/parse-network.ts';
import { planRules } from '../../../vmc/firewall/plan-rules.ts';

const facts = {
  tunnelPort: 22,
  servers: [{ addresses: ['10.91.2.1'], port: 8443 }],
  resolvers: ['192.168.200.1', '192.168.200.1'],
  allow: [{ address: '10.0.0.0/24', port: 123, protocol: 'udp' as const }],
};

t.test('C4 the whole table, in one transaction', async (t) => {
  t.equal(
    planRules(facts),
    `table inet vmc
delete table inet vmc
table inet vmc {
	chain input {
		type filter hook input priority filter; policy drop;
		iif "lo" accept
		ct state invalid drop
		ct state established,related accept
		meta nfproto ipv6 drop
		tcp dport 22 accept
		udp sport 67 udp dport 68 accept
	}
	chain forward {
		type filter hook forward priority filter; policy drop;
	}
	chain output {
		type filter hook output priority filter; policy drop;
		oif "lo" accept
		ct state invalid drop
		ct state established,related accept
		meta nfproto ipv6 drop
		udp sport 68 udp dport 67 accept
		ip daddr { 10.91.2.1 } tcp dport 8443 accept
		ip daddr { 192.168.200.1 } udp dport 53 accept
		ip daddr { 192.168.200.1 } tcp dport 53 accept
		ip daddr 10.0.0.0/24 udp dport 123 accept
	}
}
`,
  );
});

t.test('without a backend address or a resolver there is no rule for them', async (t) => {
  const rules = planRules({ ...facts, servers: [{ addresses: [], port: 8443 }], resolvers: [], allow: [] });
  t.notMatch(rules, /8443|dport 53|\{ \}/);
});

t.test('resolvers and gateways', async (t) => {
  t.same(
    nameservers(
      '# c\nnameserver 10.0.0.1\n nameserver\t10.0.0.2 \nnameserver 127.0.0.53\nnameserver fe80::1\nsearch x\n',
    ),
    ['10.0.0.1', '10.0.0.2'],
  );
  const route =
    'Iface\tDestination\tGateway\tFlags\tRefCnt\nens3\t00000000\t01C8A8C0\t0003\t0\nens3\t00C8A8C0\t00000000\t0001\t0\n';
  t.same(gateways(route), ['192.168.200.1']);
  t.same(gateways(''), []);
});
