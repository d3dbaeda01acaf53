import t from 'tap';
import { deb822Sources, oneLineSources } from '../../../packaging/apt-sources.ts';

t.test('one-line sources: only binary entries of the suite and its updates', async (t) => {
  const text = [
    '# deb http://old bookworm main',
    'deb http://mirror/debian bookworm main',
    'deb [signed-by=/k.gpg arch=amd64] http://mirror/security bookworm-security main',
    'deb-src http://mirror/debian bookworm main',
    'deb http://elsewhere/tool stable main',
    'deb http://mirror/debian bookworm-backports main',
  ].join('\n');
  t.strictSame(oneLineSources(text, 'bookworm'), [
    'deb http://mirror/debian bookworm main',
    'deb [signed-by=/k.gpg arch=amd64] http://mirror/security bookworm-security main',
  ]);
});

t.test('deb822 sources: each address and suite, with the keyring', async (t) => {
  const text = [
    'Types: deb deb-src',
    'URIs: http://mirror/debian',
    'Suites: bookworm bookworm-updates trixie',
    'Components: main contrib',
    'Signed-By: /usr/share/keyrings/k.gpg',
    '',
    'Enabled: no',
    'Types: deb',
    'URIs: http://off',
    'Suites: bookworm',
    'Components: main',
  ].join('\n');
  t.strictSame(deb822Sources(text, 'bookworm'), [
    'deb [signed-by=/usr/share/keyrings/k.gpg] http://mirror/debian bookworm main contrib',
    'deb [signed-by=/usr/share/keyrings/k.gpg] http://mirror/debian bookworm-updates main contrib',
  ]);
});
