import fc from 'fast-check';
import t from 'tap';
import type { Right } from '../../../shared/api/rights.ts';
import { type GrantConnection, Grants } from '../../../vmc/tunnel/grants.ts';
import { MAX_HEAD_BYTES, parseConnect, refusal } from '../../../vmc/tunnel/parse-connect.ts';
import { type ListedTunnels, Tunnel, type TunnelDeps } from '../../../vmc/tunnel/tunnel.ts';
import type { TunnelServer } from '../../../vmc/tunnel/tunnel-server.ts';

const parse = (text: string) => parseConnect(Buffer.from(text, 'latin1'));

t.test('C5 CONNECT, and nothing but CONNECT', async (t) => {
  t.same(parse('CONNECT localhost:3389 HTTP/1.1\r\n\r\n'), { kind: 'connect', port: 3389, headBytes: 35 });
  t.match(parse('CONNECT 127.0.0.1:1 HTTP/1.1\r\nHost: x\r\nUser-Agent: curl/8\r\n\r\nearly'), {
    kind: 'connect',
    port: 1,
  });
  t.same(parse(''), { kind: 'more' });
  t.same(parse('CONN'), { kind: 'more' });
  t.same(parse('CONNECT localhost:3389 HTTP/1.1\r\n'), { kind: 'more' });
  const wrong: [string, number][] = [
    ['GET / HTTP/1.1\r\n\r\n', 405],
    ['connect localhost:1 HTTP/1.1\r\n\r\n', 400],
    ['CONNECT localhost:1 HTTP/1.0\r\n\r\n', 400],
    ['CONNECT localhost:1 HTTP/2\r\n\r\n', 400],
    ['CONNECT  localhost:1 HTTP/1.1\r\n\r\n', 400],
    ['CONNECT localhost HTTP/1.1\r\n\r\n', 400],
    ['CONNECT localhost:0 HTTP/1.1\r\n\r\n', 400],
    ['CONNECT localhost:65536 HTTP/1.1\r\n\r\n', 400],
    ['CONNECT localhost:1:2 HTTP/1.1\r\n\r\n', 400],
    ['CONNECT [::1]:1 HTTP/1.1\r\n\r\n', 400],
    ['CONNECT localhost:1 HTTP/1.1\r\nno colon\r\n\r\n', 400],
    ['CONNECT localhost:1 HTTP/1.1\r\n folded: x\r\n\r\n', 400],
    ['CONNECT localhost:1 HTTP/1.1\r\nX: a\0b\r\n\r\n', 400],
    ['CONNECT localhost:1 HTTP/1.1\n\n\r\n\r\n', 400],
    ['CONNECT 10.0.0.1:22 HTTP/1.1\r\n\r\n', 403],
    ['CONNECT localhost.evil:22 HTTP/1.1\r\n\r\n', 403],
    ['SSH-2.0-OpenSSH_9\r\n', 400],
    [`CONNECT ${'x'.repeat(MAX_HEAD_BYTES)}`, 431],
  ];
  for (const [text, status] of wrong)
    t.match(parse(text), { kind: 'wrong', status }, JSON.stringify(text.slice(0, 60)));
  t.match(refusal(403, 'no'), /^HTTP\/1\.1 403 no\r\n[\s\S]*\r\n\r\nno\n$/);
});

t.test('any bytes in any pieces: an answer, never a throw, and never more kept than the limit', async () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: MAX_HEAD_BYTES + 100 }), (bytes) => {
      const { kind } = parseConnect(bytes);
      return kind !== 'more' || bytes.length < MAX_HEAD_BYTES;
    }),
  );
});

const LIMITS = {
  lifetimeMs: 5000,
  maxGrantsPerPerson: 2,
  maxStreamsPerGrant: 1,
  maxStreamsPerPerson: 2,
  readyPerGrant: 2,
};
const WEB = [{ from: 80, to: 80 }];

/** A connection that remembers what was done to it, with a number of bytes each way. */
function connection(bytes = 0): GrantConnection & { done: string[] } {
  const done: string[] = [];
  return {
    done,
    end: () => done.push('end'),
    cut: () => done.push('cut'),
    bytes: () => ({ bytesIn: bytes, bytesOut: 2 * bytes }),
  };
}

t.test('grants: own, bounded, renewed, expiring, cut at the end', async (t) => {
  let time = 1000;
  const ended: unknown[] = [];
  const grants = new Grants(
    LIMITS,
    () => time,
    (grant, use, why) => ended.push([grant.certificateSha256, use, why]),
  );
  t.teardown(() => grants.closeAll());
  t.equal(grants.open('a', 'ann', []).expiresAt, 6000);
  t.throws(() => grants.open('a', 'bob', []), { code: 'already-exists' });
  grants.open('b', 'ann', []);
  t.throws(() => grants.open('c', 'ann', []), { code: 'limit' });
  time = 3000;
  t.match(grants.open('a', 'ann', WEB), { openedAt: 1000, expiresAt: 8000 }, 'renewed');
  t.same(grants.find('a')?.ports, WEB, 'with the ports of the renewal');
  const [stream, second] = [connection(10), connection()];
  for (const each of [stream, second]) t.equal(grants.addWaiting('a', each), true);
  t.equal(grants.becomeStream('a', stream), true);
  t.equal(grants.becomeStream('a', second), false, 'one is all it may have');
  t.throws(() => grants.close('a', 'bob'), { code: 'not-found' });
  t.same(stream.done, []);
  t.equal(grants.close('a', 'ann'), 1);
  t.same([stream.done, second.done], [['cut'], ['cut']], 'what waits, too');
  t.same(ended, [['a', { streams: 1, streamsTotal: 1, bytesIn: 10, bytesOut: 20 }, 'closed']]);
  t.equal(grants.find('a'), undefined);
  t.equal(grants.addWaiting('a', stream), false, 'an ended grant takes nothing');
  t.equal(grants.becomeStream('a', stream), false);
  grants.remove('a', stream);
  time = 6001;
  t.equal(grants.find('b'), undefined, 'expired, whatever the timer does');
  t.equal(grants.addWaiting('b', stream), false);
});

t.test('C5 what waits is bounded, and the oldest goes; counters go on over renewals', async (t) => {
  const grants = new Grants(LIMITS, () => 1);
  t.teardown(() => grants.closeAll());
  grants.open('a', 'ann', WEB);
  grants.open('x', 'bob', WEB);
  const waiting = [connection(1), connection(2), connection(3)] as const;
  for (const each of waiting) grants.addWaiting('a', each);
  t.same(
    waiting.map(({ done }) => done),
    [['end'], [], []],
    'properly: it was no stream',
  );
  t.match(grants.list('ann'), [{ streams: 0, streamsTotal: 0, bytesIn: 0 }], 'and does not count as one');
  for (const each of waiting.slice(1)) {
    t.equal(grants.becomeStream('a', each), true);
    grants.remove('a', each);
    grants.remove('a', each);
  }
  grants.open('a', 'ann', WEB);
  t.match(grants.list('ann'), [{ streams: 0, streamsTotal: 2, bytesIn: 5, bytesOut: 10 }]);
  t.same(
    grants.list().map(({ person }) => person),
    ['ann', 'bob'],
  );
  t.equal(grants.closeOf('ann'), 0);
  t.same(grants.list('ann'), []);
});

t.test('C5 streams are bounded for each person too, over all their grants', async (t) => {
  const grants = new Grants({ ...LIMITS, maxGrantsPerPerson: 3 }, () => 1);
  t.teardown(() => grants.closeAll());
  for (const certificate of ['a', 'b', 'c']) grants.open(certificate, 'ann', WEB);
  grants.open('x', 'bob', WEB);
  const begin = (certificate: string) => {
    const each = connection();
    grants.addWaiting(certificate, each);
    return { each, begun: grants.becomeStream(certificate, each) };
  };
  const [first] = [begin('a'), begin('b')];
  t.equal(begin('c').begun, false, 'two are all that ann may have');
  t.equal(begin('x').begun, true, 'which is nothing to bob');
  grants.remove('a', first.each);
  t.equal(begin('c').begun, true);
});

function makeTunnel(deps: Partial<TunnelDeps> = {}) {
  const grants = new Grants({ ...LIMITS, maxGrantsPerPerson: 200 }, () => 1);
  const server = { useCertificate: () => {} } as unknown as TunnelServer;
  const all = { readyPerGrant: 2, readySeconds: 9, ports: WEB, now: () => new Date(), ...deps, grants, server };
  return { grants, tunnel: new Tunnel(all) };
}

const sha = (i: number) => i.toString(16).padStart(64, '0');
const sftp = { port: 2022, user: 'ann', hostKey: 'ssh-ed25519 AAAA', upload: true, download: false };

t.test('C5 C6 a grant leads where its person may go, and nowhere else', async (t) => {
  const { grants, tunnel } = makeTunnel({ sftpFor: async (_who, rights) => (rights.has('files') ? sftp : undefined) });
  t.teardown(() => grants.closeAll());
  const open = (i: number, ...rights: Right[]) => tunnel.open(sha(i), 'ann', () => new Set(rights));
  await t.rejects(open(1), { code: 'forbidden' }, 'the right to come in is not enough');
  await t.rejects(
    tunnel.open(sha(1), 'ann', () => undefined),
    { code: 'forbidden' },
  );
  t.equal(grants.size, 0);
  t.match(await open(1, 'ports'), { ports: WEB, sftp: undefined, ready: { connections: 2, seconds: 9 } });
  t.same(grants.find(sha(1))?.ports, WEB);
  t.match(await open(2, 'files'), { ports: [], sftp });
  t.same(grants.find(sha(2))?.ports, [{ from: 2022, to: 2022 }], 'SFTP without "ports": SFTP only');
  t.match(await open(3, 'files', 'ports'), { ports: WEB, sftp });
  t.same(grants.find(sha(3))?.ports, [...WEB, { from: 2022, to: 2022 }]);
});

t.test('C16 rights that change while a grant is made: what holds in the end counts', async (t) => {
  let rights: Right[] | undefined = ['files', 'ports'];
  let asked = 0;
  const { grants, tunnel } = makeTunnel({
    sftpFor: async (_who, had) => {
      asked++;
      if (asked === 1) rights = ['ports'];
      return had.has('files') ? sftp : undefined;
    },
  });
  t.teardown(() => grants.closeAll());
  t.match(await tunnel.open(sha(1), 'ann', () => rights && new Set(rights)), { ports: WEB, sftp: undefined });
  t.same(grants.find(sha(1))?.ports, WEB);
  t.equal(asked, 2);

  const removed = makeTunnel({
    sftpFor: async () => {
      rights = undefined;
      return sftp;
    },
  });
  rights = ['files'];
  const gone = removed.tunnel.open(sha(1), 'ann', () => rights && new Set(rights));
  await t.rejects(gone, { code: 'forbidden' }, 'removed meanwhile');
  t.equal(removed.grants.size, 0);
});

t.test('a broken SFTP keeps nobody from their ports', async (t) => {
  const failed: unknown[] = [];
  const { grants, tunnel } = makeTunnel({
    sftpFor: () => Promise.reject(new Error('disk full')),
    onSftpFailed: (error) => failed.push(error),
  });
  t.teardown(() => grants.closeAll());
  t.match(await tunnel.open(sha(1), 'ann', () => new Set(['ports', 'files'])), { ports: WEB, sftp: undefined });
  t.match(failed, [{ message: 'disk full' }]);
  await t.rejects(
    tunnel.open(sha(2), 'ann', () => new Set(['files'])),
    /disk full/,
  );
});

t.test('C12 tunnel.list: one’s own, everybody’s with "stats", in pages', async (t) => {
  const { grants, tunnel } = makeTunnel();
  t.teardown(() => grants.closeAll());
  for (let i = 0; i < 150; i++) grants.open(sha(i), i % 2 === 0 ? 'ann' : 'bob', WEB);
  const all = (person: string, ...rights: Right[]) => {
    const found: ListedTunnels['grants'] = [];
    for (let more = true; more; ) {
      const page = tunnel.list(person, new Set(rights), found.at(-1)?.certificateSha256);
      t.ok(page.grants.length <= 64);
      found.push(...page.grants);
      more = page.more;
    }
    return found.map(({ person, certificateSha256 }) => `${person} ${Number.parseInt(certificateSha256, 16)}`);
  };
  const whose = Array.from({ length: 150 }, (_, i) => `${i % 2 === 0 ? 'ann' : 'bob'} ${i}`);
  t.same(
    all('ann', 'ports'),
    whose.filter((who) => who.startsWith('ann')),
  );
  t.same(all('ann', 'stats'), whose);
  t.same(all('eve'), []);
  t.same(tunnel.list('eve', undefined), { grants: [], more: false });
});
