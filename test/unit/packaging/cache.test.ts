import { readdir, readFile, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { cached, cacheKey } from '../../../packaging/cache.ts';

t.test('a key tells apart lists that look alike when joined', async (t) => {
  t.not(cacheKey('ab', 'c'), cacheKey('a', 'bc'));
  t.equal(cacheKey('a', new Uint8Array([98])), cacheKey('a', 'b'));
});

t.test('an entry is made once; a failure leaves nothing; the oldest goes', async (t) => {
  const folder = t.testdir({});
  const entry = (key: string) => ({ folder, kind: 'thing', key, keep: 2 });
  let made = 0;
  const make = async (path: string): Promise<void> => {
    made += 1;
    await writeFile(join(path, 'x'), String(made));
  };
  await t.rejects(
    cached(entry('a'), async (path) => {
      await make(path);
      throw new Error('half way');
    }),
    { message: 'half way' },
  );
  t.strictSame(await readdir(folder), []);
  const first = await cached(entry('a'), make);
  t.equal(await cached(entry('a'), make), first);
  t.equal(made, 2, 'the failed one and the good one');
  t.equal(await readFile(join(first, 'x'), 'utf8'), '2');
  await utimes(first, 1, 1);
  await cached(entry('b'), make);
  await cached(entry('c'), make);
  t.strictSame((await readdir(folder)).sort(), ['thing-b', 'thing-c']);
});

t.test('two who make the same entry both get a whole one', async (t) => {
  const folder = t.testdir({});
  const entry = { folder, kind: 'thing', key: 'a', keep: 1 };
  const make = (path: string): Promise<void> => writeFile(join(path, 'x'), 'whole');
  const paths = await Promise.all([cached(entry, make), cached(entry, make)]);
  t.equal(paths[0], paths[1]);
  t.strictSame(await readdir(folder), ['thing-a']);
});
