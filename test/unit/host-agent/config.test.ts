import { join } from 'node:path';
import t from 'tap';
import { configSchema, loadConfig } from '../../../host-agent/config.ts';
import { parseToml } from '../../../shared/config/load-toml.ts';

const least = `
address = "192.0.2.10"
[backend]
url = "https://backend.example:8443"
pin = "${'ab'.repeat(32)}"
[pools]
images = "/images"
drives = "/drives"
`;

t.test('the file in the package is valid, and names every key with its default', async (t) => {
  const packaged = await loadConfig(join(import.meta.dirname, '../../../packaging/etc/host-agent.toml'));
  const defaults = parseToml(least, configSchema, 'least');
  const { address: _a, backend: _b, pools: packagedPools, ...rest } = packaged;
  const { address: _c, backend: _d, pools: defaultPools, ...restOfDefaults } = defaults;
  t.strictSame(rest, restOfDefaults);
  t.strictSame({ ...packagedPools, images: '', drives: '' }, { ...defaultPools, images: '', drives: '' });
});

for (const [name, change] of Object.entries({
  'an unknown key': 'colour = "red"\n',
  'a relative folder': 'stateDir = "state"\n',
  'a folder with ..': 'stateDir = "/var/../etc"\n',
  'another hypervisor': 'libvirtUri = "xen:///system"\n',
  'a remote libvirt': 'libvirtUri = "qemu+ssh://host/system"\n',
}))
  t.test(`${name} is refused`, async (t) => {
    t.throws(() => parseToml(change + least, configSchema, 'x.toml'), { code: 'bad-config', message: /x\.toml/ });
  });

for (const table of [
  '[network]\nsubnet = "10.92.0.5/24"',
  '[network]\nsubnet = "10.0.0.0/8"',
  '[network]\nbridge = "a-name-that-is-too-long"',
  '[forwardPorts]\nfrom = 3\nto = 2',
])
  t.test(`${JSON.stringify(table)} is refused`, async (t) => {
    t.throws(() => parseToml(least + table, configSchema, 'x.toml'), { code: 'bad-config' });
  });

t.test('plain http to the backend is refused', async (t) => {
  t.throws(() => parseToml(least.replace('https', 'http'), configSchema, 'x.toml'), { code: 'bad-config' });
});
