/** Headers as a hostile host could write them, told from what cryptsetup 2.6 writes for vmc. */
import t from 'tap';
import { parseMemAvailable, parseUnlockedSlot } from '../../../vmc/drives/parse-key-tools.ts';
import { checkLuksHeader } from '../../../vmc/drives/parse-luks-header.ts';
import { passphraseCost } from '../../../vmc/drives/plan-passphrase.ts';
import { StagedHeaders } from '../../../vmc/drives/staged-headers.ts';
import { planUnlock } from '../../../vmc/drives/unlock.ts';

const driveId = 'drv0123456789abcdef';
const MiB = 1024 * 1024;

const slot = (offset: number) => ({
  type: 'luks2',
  key_size: 64,
  af: { type: 'luks1', stripes: 4000, hash: 'sha256' },
  area: { type: 'raw', offset: `${offset}`, size: '258048', encryption: 'aes-xts-plain64', key_size: 64 },
  kdf: { type: 'pbkdf2', hash: 'sha256', iterations: 1000, salt: 'AAAA' } as object,
});
const segment = (offset: number, size: number | 'dynamic', flags?: string[]) => ({
  type: 'crypt',
  offset: `${offset}`,
  size: `${size}`,
  iv_tweak: `${(offset - 16 * MiB) / 512}`,
  encryption: 'aes-xts-plain64',
  sector_size: 4096,
  ...(flags === undefined ? {} : { flags }),
});
const digest = (keyslots: string[], segments: string[]) => ({ type: 'pbkdf2', keyslots, segments });

const plain = () => ({
  keyslots: { '0': slot(32768) } as Record<string, unknown>,
  tokens: {},
  segments: { '0': segment(16 * MiB, 'dynamic') } as Record<string, Record<string, unknown>>,
  digests: { '0': digest(['0'], ['0']) } as Record<string, unknown>,
  config: { json_size: '12288', keyslots_size: '16744448' } as Record<string, unknown>,
});

/** As after a stop at 64 MiB. */
const moving = () => {
  const header = plain();
  return {
    ...header,
    keyslots: {
      '0': slot(32768),
      '1': slot(290816),
      '2': {
        type: 'reencrypt',
        key_size: 1,
        mode: 'reencrypt',
        direction: 'forward',
        priority: 0,
        area: { offset: '548864', size: '16228352', type: 'checksum', hash: 'sha256', sector_size: 4096 },
      },
    } as Record<string, Record<string, unknown>>,
    segments: {
      '0': segment(16 * MiB, 64 * MiB),
      '1': segment(80 * MiB, 48 * MiB),
      '2': segment(16 * MiB, 'dynamic', ['backup-previous']),
      '3': segment(16 * MiB, 'dynamic', ['backup-final']),
    } as Record<string, Record<string, unknown>>,
    digests: { '0': digest(['0'], ['1', '2']), '1': digest(['1'], ['0', '3']), '2': digest(['2'], []) },
    config: { ...header.config, requirements: { mandatory: ['online-reencrypt-v2'] } } as Record<string, unknown>,
  };
};

const check = (header: unknown) => checkLuksHeader(JSON.stringify(header), driveId);

t.test('C7 what vmc has cryptsetup write is accepted, at each stage of a re-encryption', async (t) => {
  t.match(check(plain()), { slots: [{ slot: 0, kind: 'key', isUsed: true }], reencryption: undefined });
  t.match(check(moving()), { reencryption: { doneBytes: 64 * MiB, isCut: false } });
  const stage = (segments: object, digests?: object) =>
    check({
      ...moving(),
      segments: { ...segments, '8': moving().segments['2'], '9': moving().segments['3'] },
      digests: digests ?? { '0': digest(['0'], ['1', '8']), '1': digest(['1'], ['0', '9']) },
    }).reencryption;
  const begun = stage(
    { '0': segment(16 * MiB, 'dynamic') },
    { '0': digest(['0'], ['0', '8']), '1': digest(['1'], ['9']) },
  );
  t.same(begun, { doneBytes: 0, isCut: false });
  const amid = {
    '0': segment(16 * MiB, 8 * MiB),
    '1': segment(24 * MiB, 8 * MiB, ['in-reencryption']),
    '2': segment(32 * MiB, 'dynamic'),
  };
  t.same(stage(amid), { doneBytes: 8 * MiB, isCut: true });
  const moved = stage(
    { '0': segment(16 * MiB, 'dynamic') },
    { '0': digest(['0'], ['8']), '1': digest(['1'], ['0', '9']) },
  );
  t.same(moved, { doneBytes: undefined, isCut: false });
  const leftover = { ...plain(), keyslots: { '0': slot(32768), '1': slot(290816) } };
  t.match(check(leftover).slots, [{ isUsed: true }, { slot: 1, isUsed: false }]);
});

const HOSTILE: Record<string, (it: ReturnType<typeof moving>) => unknown> = {
  'the data are being decrypted': (it) => ({ ...it.keyslots['2'], mode: 'decrypt' }),
  'the data are being encrypted': (it) => ({ ...it.keyslots['2'], mode: 'encrypt' }),
  backward: (it) => ({ ...it.keyslots['2'], direction: 'backward' }),
  'no resilience': (it) => ({ ...it.keyslots['2'], area: { offset: '548864', size: '4096', type: 'none' } }),
  'a journal': (it) => ({ ...it.keyslots['2'], area: { offset: '548864', size: '4096', type: 'journal' } }),
  'a shift of the data': (it) => ({
    ...it.keyslots['2'],
    area: { offset: '548864', size: '4096', type: 'datashift', shift_size: '4096' },
  }),
  'an area outside the header': (it) => ({
    ...it.keyslots['2'],
    area: { offset: '548864', size: '99999999', type: 'checksum', hash: 'sha256' },
  }),
};

t.test('C7 a re-encryption that vmc did not begin is refused', async (t) => {
  for (const [what, change] of Object.entries(HOSTILE)) {
    const header = moving();
    t.throws(
      () => check({ ...header, keyslots: { ...header.keyslots, '2': change(header) } }),
      { code: 'bad-data' },
      what,
    );
  }
  const refused = (what: string, change: (it: ReturnType<typeof moving>) => void) => {
    const header = moving();
    change(header);
    t.throws(() => check(header), { code: 'bad-data' }, what);
  };
  const part = (it: ReturnType<typeof moving>, name: string) => it.segments[name] as Record<string, unknown>;
  refused('a part of the volume in the clear', (it) => Object.assign(part(it, '1'), { type: 'linear' }));
  refused('the null cipher', (it) => Object.assign(part(it, '1'), { encryption: 'cipher_null-ecb' }));
  refused('the null cipher as the aim', (it) => Object.assign(part(it, '3'), { encryption: 'cipher_null-ecb' }));
  refused('integrity', (it) => Object.assign(part(it, '0'), { integrity: { type: 'none' } }));
  refused('a gap', (it) => Object.assign(part(it, '1'), segment(81 * MiB, 47 * MiB)));
  refused('one tweak for two places', (it) => Object.assign(part(it, '1'), { iv_tweak: '0' }));
  refused('it begins in the header', (it) => Object.assign(part(it, '0'), segment(MiB, 79 * MiB)));
  refused('sectors of several sizes', (it) => Object.assign(part(it, '1'), { sector_size: 512 }));
  refused('moved data', (it) => Object.assign(part(it, '2'), { flags: ['backup-moved-segment'] }));
  refused('no aim', (it) => delete it.segments['3']);
  refused('two aims', (it) => Object.assign(it.segments, { '4': segment(16 * MiB, 'dynamic', ['backup-final']) }));
  refused('two slots of that kind', (it) => Object.assign(it.keyslots, { '3': it.keyslots['2'] }));
  refused('the slot without the requirement', (it) => delete it.config.requirements);
  refused('the requirement without the slot', (it) => delete it.keyslots['2']);
  refused('an older, unsigned one', (it) =>
    Object.assign(it.config, { requirements: { mandatory: ['online-reencrypt'] } }),
  );
  refused('another requirement', (it) =>
    Object.assign(it.config, { requirements: { mandatory: ['online-reencrypt-v2', 'inline-hw-tags'] } }),
  );
});

t.test(
  'C7 a header that is at rest has nothing of a re-encryption, no tokens, and costs no more than a VM bears',
  async (t) => {
    const refused = (what: string, change: object) =>
      t.throws(() => check({ ...plain(), ...change }), { code: 'bad-data' }, what);
    refused('tokens', { tokens: { '0': { type: 'luks2-keyring', keyslots: ['0'], key_description: 'x' } } });
    refused('two segments', { segments: { '0': segment(16 * MiB, 8 * MiB), '1': segment(24 * MiB, 'dynamic') } });
    refused('a part only', { segments: { '0': segment(16 * MiB, 8 * MiB) } });
    refused('flags', { segments: { '0': segment(16 * MiB, 'dynamic', ['in-reencryption']) } });
    refused('slot 32', { keyslots: { '32': slot(32768) } });
    const argon = (memory: number) => ({
      '0': { ...slot(32768), kdf: { type: 'argon2id', memory, time: 4, cpus: 2 } },
    });
    refused('4 GiB of memory', { keyslots: argon(4 * 1024 * 1024) });
    t.match(check({ ...plain(), keyslots: argon(1024 * 1024) }).slots, [
      { kind: 'passphrase', memoryBytes: 1024 * MiB },
    ]);
  },
);

t.test('C7 slots are tried in the order of their cost; what the VM cannot bear is not tried', async (t) => {
  const key = (slot: number) => ({ slot, kind: 'key', memoryBytes: 0, isUsed: true }) as const;
  const words = (slot: number, memoryBytes: number) =>
    ({ slot, kind: 'passphrase', memoryBytes, isUsed: true }) as const;
  t.same(planUnlock([key(0), key(1)], 'key', 0), [undefined], 'all at once');
  t.same(planUnlock([words(0, 64 * MiB), key(1)], 'key', 512 * MiB), [1, 0]);
  t.same(planUnlock([key(0), words(1, 64 * MiB)], 'passphrase', 512 * MiB), [1, 0]);
  t.same(planUnlock([key(0), words(1, 512 * MiB)], 'passphrase', 512 * MiB), [0]);
  t.same(planUnlock([words(0, 512 * MiB)], 'passphrase', 512 * MiB), []);
  t.same(passphraseCost(400 * MiB, 2).slice(-4), ['--pbkdf-memory', '102400', '--pbkdf-parallel', '2']);
  t.same(passphraseCost(0, 0).slice(-4), ['--pbkdf-memory', '65536', '--pbkdf-parallel', '1']);
  t.same(passphraseCost(64 * 1024 * MiB, 64).slice(-4), ['--pbkdf-memory', '1048576', '--pbkdf-parallel', '4']);
  t.equal(parseUnlockedSlot('No usable token is available.\nKey slot 12 unlocked.\nCommand successful.\n'), 12);
  t.equal(parseUnlockedSlot('Key slot 1 is unlocked.'), undefined);
  t.equal(parseMemAvailable('MemTotal: 5 kB\nMemAvailable:     1024 kB\n'), MiB);
  t.equal(parseMemAvailable('MemTotal: 5 kB\n'), 0);
});

t.test('C7 a header comes in whole, from one person, in ten minutes', async (t) => {
  let now = 0;
  const staged = new StagedHeaders(() => now);
  // printf abcdef | sha256sum
  const sha256 = 'bef57ec7f53a6d40beb640a780a639c83bc29ac8a9816f1fc6c5c6dcd93c4721';
  const page = (offset: number, data: string) => ({ driveId, offset, data: Buffer.from(data), totalBytes: 6, sha256 });
  t.equal(staged.add('ada', page(0, 'abc')), 3);
  t.throws(() => staged.whole('ada', driveId, sha256), { code: 'not-found' });
  t.throws(() => staged.add('eve', page(3, 'xyz')), { code: 'bad-request' });
  t.throws(() => staged.add('ada', page(4, 'ef')), { code: 'bad-request' });
  t.throws(() => staged.add('ada', page(3, 'defg')), { code: 'bad-request' });
  t.equal(staged.add('ada', page(3, 'def')), 0);
  t.equal(staged.add('ada', page(3, 'def')), 0, 'a page that came twice');
  t.throws(() => staged.whole('eve', driveId, sha256), { code: 'not-found' });
  t.equal(Buffer.from(staged.whole('ada', driveId, sha256)).toString(), 'abcdef');
  now = 10 * 60_000;
  t.throws(() => staged.whole('ada', driveId, sha256), { code: 'not-found' });
  staged.add('ada', page(0, 'abc'));
  staged.add('ada', page(3, 'xyz'));
  t.throws(() => staged.whole('ada', driveId, sha256), { code: 'bad-data' });
  const other = (n: number) => ({ ...page(0, 'abc'), driveId: `drv000000000000000${n}` });
  for (const n of [1, 2, 3]) staged.add('ada', other(n));
  t.throws(() => staged.add('ada', other(4)), { code: 'limit' });
});
