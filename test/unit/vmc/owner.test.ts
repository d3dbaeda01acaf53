/** C3: the owner's key is write-once. */

import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import fsPromises from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import { join } from 'node:path';
import t from 'tap';
import { type Bootstrap, encodeBootstrap } from '../../../shared/bootstrap.ts';
import { fingerprint } from '../../../shared/identity/fingerprint.ts';
import { generateIdentity } from '../../../shared/identity/identity.ts';
import { acceptBootstrap } from '../../../vmc/state/accept-bootstrap.ts';
import { readSelf } from '../../../vmc/state/first-start.ts';
import { lockStateFolder } from '../../../vmc/state/lock.ts';

const ann = generateIdentity();
const eve = generateIdentity();
const now = new Date('2026-11-22T00:00:00Z');
const bootstrapOf = (owner = ann, more: Partial<Bootstrap> = {}): Bootstrap => ({
  version: 1,
  vm: { id: 'vm-0123456789ab', name: 'data' },
  backend: { url: 'https://10.91.2.1:8443', pin: 'ab'.repeat(32) },
  owner: owner.public,
  enrolToken: new Uint8Array(32).fill(9),
  ...more,
});
const all = (dir: string) =>
  Object.fromEntries(readdirSync(dir).map((name) => [name, readFileSync(join(dir, name), 'latin1')]));

t.test('C3 the owner is learned once and never replaced', async (t) => {
  const dir = t.testdir();
  await t.rejects(acceptBootstrap(dir, undefined, now), { code: 'bad-config', hint: /vmc\.bootstrap/ });
  t.same(readdirSync(dir), [], 'nothing was written');
  const first = await acceptBootstrap(dir, bootstrapOf(), now);
  t.equal(first.learned, true);
  t.same(readdirSync(dir).sort(), ['bootstrap.json', 'identity', 'owner.json']);
  for (const name of readdirSync(dir)) t.equal(statSync(join(dir, name)).mode & 0o777, 0o600, name);
  t.match(await readSelf(dir), {
    identity: first.identity,
    ownership: { owner: { ed25519: ann.public.ed25519 }, vmId: 'vm-0123456789ab' },
  });

  const stored = all(dir);
  for (const wrong of [
    bootstrapOf(eve),
    bootstrapOf(ann, { owner: { ...ann.public, x25519: eve.public.x25519 } }),
    bootstrapOf(ann, { vm: { id: 'vm-ffffffffffff', name: 'data' } }),
  ]) {
    await t.rejects(acceptBootstrap(dir, wrong, now), { code: 'owner-mismatch' });
    t.same(all(dir), stored, 'nothing was changed');
  }
  const moved = bootstrapOf(ann, { backend: { url: 'https://10.0.0.9:8443', pin: 'cd'.repeat(32) } });
  t.equal((await acceptBootstrap(dir, moved, now)).learned, false);
  const again = await acceptBootstrap(dir, undefined, now);
  t.same(again.bootstrap.backend, moved.backend, 'without a credential: the latest one');
  t.same(again.identity, first.identity);
  t.equal(all(dir)['owner.json'], stored['owner.json']);
});

t.test('C3 a restored, mixed or edited state folder is refused, and nothing is learned anew', async (t) => {
  const make = async (name: string, owner = ann) => {
    const dir = join(root, name);
    mkdirSync(dir);
    await acceptBootstrap(dir, bootstrapOf(owner), now);
    return dir;
  };
  const root = t.testdir();
  const refused = async (dir: string, message: RegExp, code = 'owner-mismatch') => {
    const before = all(dir);
    for (const given of [bootstrapOf(), bootstrapOf(eve), undefined])
      await t.rejects(acceptBootstrap(dir, given, now), { code, message, hint: /backup/ });
    await t.rejects(readSelf(dir), { code });
    t.same(all(dir), before);
  };
  const ofEve = await make('eve', eve);
  const path = (dir: string, name: string) => join(dir, name);

  const noOwner = await make('no-owner');
  rmSync(path(noOwner, 'owner.json'));
  await refused(noOwner, /an identity, but nothing says who owns it/);

  const noIdentity = await make('no-identity');
  rmSync(path(noIdentity, 'identity'));
  await refused(noIdentity, /an owner, but its identity is gone/);

  for (const trace of ['relay.json', 'people.json', 'people.version']) {
    const emptied = await make(`emptied-${trace}`);
    for (const name of ['identity', 'owner.json']) rmSync(path(emptied, name));
    writeFileSync(path(emptied, trace), 'x');
    await refused(emptied, /been in use/);
  }

  const mixed = await make('mixed');
  writeFileSync(path(mixed, 'owner.json'), readFileSync(path(ofEve, 'owner.json')));
  await refused(mixed, /was not written by this VM/);

  const edited = await make('edited');
  const text = readFileSync(path(edited, 'owner.json'), 'utf8');
  writeFileSync(path(edited, 'owner.json'), text.replace(ann.public.ed25519.toBase64(), eve.public.ed25519.toBase64()));
  await refused(edited, /was not written by this VM/);

  const damaged = await make('damaged');
  writeFileSync(path(damaged, 'owner.json'), '{');
  await refused(damaged, /damaged/, 'bad-data');

  const planted = await make('planted');
  writeFileSync(
    path(planted, 'learning'),
    Buffer.concat([readFileSync(path(ofEve, 'identity')), readFileSync(path(ofEve, 'owner.json'))]),
  );
  const before = all(planted);
  await t.rejects(acceptBootstrap(planted, bootstrapOf(eve), now), { code: 'owner-mismatch' });
  t.same(all(planted), before, 'what another VM learned replaces nothing');

  const bits = await make('bits');
  const identity = readFileSync(path(bits, 'identity'));
  identity[40] = (identity[40] ?? 0) ^ 1;
  writeFileSync(path(bits, 'identity'), identity);
  await t.rejects(acceptBootstrap(bits, bootstrapOf(), now), { code: 'bad-data', message: new RegExp(bits) });
});

/** Lets `allowed` operations on files happen; from then on none does, as if the process had been killed. @returns how many it began. */
async function crashingAfter(allowed: number, work: () => Promise<unknown>): Promise<number> {
  const real = { ...fsPromises };
  const handle = await real.open('/dev/null');
  const proto = Object.getPrototypeOf(handle);
  await handle.close();
  const realHandle = { writeFile: proto.writeFile, sync: proto.sync, chmod: proto.chmod };
  let begun = 0;
  const wrap = (original: (...args: unknown[]) => Promise<unknown>) =>
    function (this: unknown, ...args: unknown[]) {
      if (++begun > allowed) return Promise.reject(new Error('killed'));
      return original.apply(this, args);
    };
  const names = ['open', 'link', 'unlink', 'rename', 'rm', 'mkdir'] as const;
  for (const name of names) Object.assign(fsPromises, { [name]: wrap(real[name] as never) });
  for (const [name, original] of Object.entries(realHandle)) proto[name] = wrap(original);
  syncBuiltinESMExports();
  try {
    await work();
  } catch (error) {
    if ((error as Error).message !== 'killed') throw error;
  } finally {
    for (const name of names) Object.assign(fsPromises, { [name]: real[name] });
    Object.assign(proto, realHandle);
    syncBuiltinESMExports();
  }
  return begun;
}

t.test('C3 a crash before any step of learning: nothing or all of it, and never another owner', async (t) => {
  const root = t.testdir();
  let learnedEarly = 0;
  let learnedLate = 0;
  for (let step = 0; ; step++) {
    const dir = join(root, String(step));
    mkdirSync(dir);
    const begun = await crashingAfter(step, () => acceptBootstrap(dir, bootstrapOf(ann), now));
    const settled = readdirSync(dir).some((name) => ['learning', 'owner.json'].includes(name));
    // The host shows another owner at the next start: it comes in only if nobody had been learned.
    const next = await acceptBootstrap(dir, bootstrapOf(eve), now).catch((error: { code: string }) => error.code);
    const owner = (await readSelf(dir))?.ownership.owner.ed25519;
    if (settled) {
      learnedEarly++;
      t.equal(next, 'owner-mismatch', `step ${step}`);
      t.same(owner, ann.public.ed25519);
      t.equal((await acceptBootstrap(dir, bootstrapOf(ann), now)).learned, false);
    } else {
      learnedLate++;
      t.same(owner, eve.public.ed25519, `step ${step}`);
    }
    t.same(
      readdirSync(dir).filter((name) => !['bootstrap.json', 'identity', 'owner.json'].includes(name)),
      [],
      'no secret is left behind',
    );
    if (begun <= step) break;
  }
  t.ok(learnedEarly > 8 && learnedLate > 8, `${learnedLate} steps before and ${learnedEarly} after the moment`);
});

t.test('C3 a crash while learning is finished: the same identity and owner in the end', async (t) => {
  const root = t.testdir();
  for (let step = 0; ; step++) {
    const dir = join(root, String(step));
    mkdirSync(dir);
    // Stop right after the moment of learning, then at each step of the second start.
    for (let first = 0; !readdirSync(dir).includes('learning'); first++)
      await crashingAfter(first, () => acceptBootstrap(dir, bootstrapOf(ann), now));
    const learned = readFileSync(join(dir, 'learning'));
    const begun = await crashingAfter(step, () => acceptBootstrap(dir, bootstrapOf(ann), now));
    await acceptBootstrap(dir, bootstrapOf(ann), now);
    t.same(Buffer.concat([readFileSync(join(dir, 'identity')), readFileSync(join(dir, 'owner.json'))]), learned);
    if (begun <= step) break;
  }
});

t.test('C3 two starts at once: one has the folder, the other names it; a lock ends with its process', async (t) => {
  const dir = t.testdir();
  const race = async (owner: typeof ann) => {
    const lock = await lockStateFolder(dir);
    return { lock, accepted: await acceptBootstrap(dir, bootstrapOf(owner), now) };
  };
  const results = await Promise.allSettled([ann, eve].map(race));
  const [winner] = results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
  const [loser] = results.flatMap((result) => (result.status === 'rejected' ? [result.reason] : []));
  t.match(loser, { code: 'busy', message: /Another vmc has the state folder .*: process/ });
  await t.rejects(lockStateFolder(dir), { message: new RegExp(`process ${process.pid}\\.`) });
  const owner = winner?.accepted.bootstrap.owner.ed25519 as never;
  t.equal(fingerprint((await readSelf(dir))?.ownership.owner.ed25519 as never), fingerprint(owner));
  await winner?.lock.release();
  await (await lockStateFolder(dir)).release();
});

t.test('a copy of a bootstrap alone counts for nothing', async (t) => {
  const dir = t.testdir({ 'bootstrap.json': encodeBootstrap(bootstrapOf(eve)) });
  await t.rejects(acceptBootstrap(dir, undefined, now), { code: 'bad-config' });
  t.same((await acceptBootstrap(dir, bootstrapOf(), now)).bootstrap.owner.ed25519, ann.public.ed25519);
});
