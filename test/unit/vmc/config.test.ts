import { readFileSync } from 'node:fs';
import t from 'tap';
import { parseToml } from '../../../shared/config/load-toml.ts';
import { configSchema } from '../../../vmc/config.ts';

const parse = (text: string) => parseToml(text, configSchema, 'vmc.toml');

t.test('C15 the packaged file documents every key, with its default', async (t) => {
  const text = readFileSync(new URL('../../../packaging/etc/vmc.toml', import.meta.url), 'utf8');
  t.same(parse(text), parse(''));
  const keys = (value: object): string[] =>
    Object.entries(value).flatMap(([key, inner]) =>
      typeof inner === 'object' && !Array.isArray(inner) ? keys(inner as object) : [key],
    );
  for (const key of keys(parse(''))) t.match(text, new RegExp(`^#[^\\n]*\\n(?:.*\\n)*?${key} = `, 'm'), key);
});

t.test('C5 ports: numbers and ranges, default none', async (t) => {
  t.same(parse('').tunnel.ports, []);
  t.same(parse('[tunnel]\nports = [3389, "8000-8010"]').tunnel.ports, [
    { from: 3389, to: 3389 },
    { from: 8000, to: 8010 },
  ]);
  for (const bad of ['0', '65536', '"9-8"', '"0-5"', '"1-70000"', '"80"', '1.5'])
    t.throws(() => parse(`[tunnel]\nports = [${bad}]`), { code: 'bad-config', message: /tunnel\.ports/ }, bad);
});

t.test('outbound targets', async (t) => {
  t.same(parse('[network]\nallow = ["10.0.0.5:443/tcp", "10.1.0.0/16:123/udp"]').network.allow, [
    { address: '10.0.0.5', port: 443, protocol: 'tcp' },
    { address: '10.1.0.0/16', port: 123, protocol: 'udp' },
  ]);
  for (const bad of [
    '10.0.0.5',
    '10.0.0.5:0/tcp',
    '10.0.0:5/tcp',
    '10.0.0.0/33:5/tcp',
    'a:5/tcp',
    '10.0.0.5:5/tcp accept',
  ])
    t.throws(() => parse(`[network]\nallow = ["${bad}"]`), { code: 'bad-config' }, bad);
});

t.test('C15 unknown keys and odd values are refused', async (t) => {
  t.throws(() => parse('port = 22'), { message: /unknown key port/ });
  t.throws(() => parse('[tunnel]\nprot = 1'), { message: /tunnel: unknown key prot/ });
  for (const bad of [
    'stateDir = "relative"',
    'stateDir = "/a/"',
    'stateDir = "/a/../b"',
    'logLevel = "loud"',
    '[tunnel]\nmaxPreAuth = 0',
  ])
    t.throws(() => parse(bad), { code: 'bad-config' }, bad);
});
