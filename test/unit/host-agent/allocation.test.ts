import fc from 'fast-check';
import t from 'tap';
import { type Allocation, allocate, macOf, slotCount } from '../../../host-agent/network/allocation.ts';
import {
  gatewayOf,
  ipToNumber,
  netmaskOf,
  numberToIp,
  parseSubnet,
  subnetOf,
} from '../../../host-agent/network/subnet.ts';

const subnet = subnetOf('10.92.0.0/28');
const ports = { from: 20000, to: 20999 };
const vmId = fc.stringMatching(/^vm-[0-9a-f]{12}$/);

t.test('H4: every VM gets an address and a port of its own, until there are none', async () => {
  fc.assert(
    fc.property(fc.uniqueArray(vmId, { minLength: 13, maxLength: 13 }), (ids) => {
      const taken: Allocation[] = [];
      for (const id of ids) taken.push(allocate(id, taken, subnet, ports));
      const addresses = new Set(taken.map((it) => it.address));
      const hostPorts = new Set(taken.map((it) => it.hostPort));
      return (
        addresses.size === 13 &&
        hostPorts.size === 13 &&
        !addresses.has('10.92.0.0') &&
        !addresses.has('10.92.0.1') &&
        !addresses.has('10.92.0.15')
      );
    }),
    { numRuns: 50 },
  );
});

t.test('the same VM gets the same again, when it is free', async (t) => {
  t.strictSame(allocate('vm-0123456789ab', [], subnet, ports), allocate('vm-0123456789ab', [], subnet, ports));
});

t.test('a full host says so', async (t) => {
  const taken: Allocation[] = [];
  for (let i = 0; i < slotCount(subnet, ports); i++)
    taken.push(allocate(`vm-${i.toString(16).padStart(12, '0')}`, taken, subnet, ports));
  t.equal(taken.length, 13);
  t.throws(() => allocate('vm-ffffffffffff', taken, subnet, ports), { code: 'limit', message: /13 addresses/ });
});

t.test('the ports can be fewer than the addresses', async (t) => {
  t.equal(slotCount(subnetOf('10.0.0.0/16'), { from: 20000, to: 20001 }), 2);
});

t.test('what an earlier configuration gave away is not given again', async (t) => {
  const first = allocate('vm-0123456789ab', [], subnet, ports);
  const second = allocate('vm-0123456789ab', [{ address: '172.16.0.9', hostPort: first.hostPort }], subnet, ports);
  t.not(second.hostPort, first.hostPort);
});

t.test('MAC addresses are local, unicast, and follow from the id', async (t) => {
  t.equal(macOf('vm-0123456789ab'), '52:23:45:67:89:ab');
});

t.test('subnets', async (t) => {
  t.equal(parseSubnet('10.92.0.1/24'), undefined, 'host bits set');
  t.equal(parseSubnet('10.92.0.0/33'), undefined);
  t.equal(parseSubnet('10.92.0.0'), undefined);
  t.equal(parseSubnet('10.92.0.256/24'), undefined);
  t.equal(gatewayOf(subnetOf('192.168.4.0/22')), '192.168.4.1');
  t.equal(netmaskOf(subnetOf('192.168.4.0/22')), '255.255.252.0');
  fc.assert(fc.property(fc.ipV4(), (ip) => numberToIp(ipToNumber(ip) ?? -1) === ip));
});
