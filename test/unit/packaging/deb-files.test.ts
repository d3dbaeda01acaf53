import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { conffiles, controlFile, maintainerScripts, wrapperScript } from '../../../packaging/deb-files.ts';
import { packageFolders } from '../../../packaging/licences.ts';
import { PRODUCTS } from '../../../packaging/products.ts';

t.test('control names what the package needs, Node included', async (t) => {
  const control = controlFile(PRODUCTS.vmc, '1.2.3', 99);
  t.match(control, /^Package: vmc\nVersion: 1\.2\.3\nArchitecture: amd64\n/);
  t.match(control, /^Depends: .*libatomic1.*cryptsetup-bin.*nftables.*xfsprogs$/m);
  t.ok(control.endsWith('\n'));
});

t.test('connect runs with the same options from its package and from a checkout', async (t) => {
  const options = (text: string) => text.match(/ --[a-z][a-z-]*(=\d+)?/g);
  const packaged = options(wrapperScript(PRODUCTS.connect));
  t.match(packaged, [/^ --max-semi-space-size=/]);
  t.strictSame(options(await readFile(join(import.meta.dirname, '../../../bin/connect'), 'utf8')), packaged);
});

t.test(
  'configuration is a conffile; scripts do nothing without systemd, and start nothing at a first install',
  async (t) => {
    t.equal(conffiles(PRODUCTS.vmc), '/etc/vmc/vmc.toml\n');
    const { postinst = '' } = maintainerScripts(PRODUCTS.vmc);
    t.match(postinst, 'if [ -d /run/systemd/system ]');
    t.match(postinst, '[ -n "$2" ]');
    t.notMatch(postinst, /systemctl start/);
    t.match(
      maintainerScripts(PRODUCTS.vmc).prerm,
      'systemctl stop vmc.socket vmc-trim.timer vmc.service',
      'or it would start again',
    );
    t.strictSame(maintainerScripts(PRODUCTS.connect), {});
    t.equal(
      wrapperScript(PRODUCTS.backend),
      '#!/bin/sh\nexec /usr/lib/vmc-backend/node /usr/lib/vmc-backend/main.js "$@"\n',
    );
  },
);

t.test('licences: the package folders of a bundle’s inputs, nested and scoped ones too', async (t) => {
  t.strictSame(
    packageFolders([
      'vmc/main.ts',
      'node_modules/zod/a.js',
      'node_modules/@a/b/c/d.js',
      'node_modules/x/node_modules/y/z.js',
      'node_modules/zod/b.js',
    ]),
    ['node_modules/@a/b', 'node_modules/x/node_modules/y', 'node_modules/zod'],
  );
});
