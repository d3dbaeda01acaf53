import t from 'tap';
import { KeyedMutex } from '../../../shared/keyed-mutex.ts';

const deferred = () => Promise.withResolvers<void>();

t.test('one at a time for each key, in order; other keys do not wait', async (t) => {
  const mutex = new KeyedMutex();
  const order: string[] = [];
  const gate = deferred();
  const first = mutex.run('a', async () => {
    await gate.promise;
    order.push('first');
  });
  const second = mutex.run('a', async () => void order.push('second'));
  const third = mutex.run('a', async () => void order.push('third'));
  await mutex.run('b', async () => void order.push('b'));
  t.ok(mutex.isBusy('a'));
  gate.resolve();
  await Promise.all([first, second, third]);
  t.strictSame(order, ['b', 'first', 'second', 'third']);
  t.notOk(mutex.isBusy('a'));
});

t.test('several keys in any order do not wait for each other for ever; a failure lets go', async (t) => {
  const mutex = new KeyedMutex();
  const work = (keys: string[]) => mutex.run(keys, () => new Promise((resolve) => setImmediate(resolve)));
  await Promise.all([work(['a', 'b']), work(['b', 'a']), work(['b', 'b', 'c']), work(['c', 'a'])]);
  await t.rejects(
    mutex.run(['a', 'b'], () => Promise.reject(new Error('no'))),
    { message: 'no' },
  );
  t.notOk(mutex.isBusy('a') || mutex.isBusy('b') || mutex.isBusy('c'));
});

t.test('the queue is bounded', async (t) => {
  const mutex = new KeyedMutex(1);
  const gate = deferred();
  const first = mutex.run('a', () => gate.promise);
  const second = mutex.run('a', async () => {});
  await t.rejects(
    mutex.run(['a', '0'], async () => {}),
    { code: 'busy' },
  );
  t.notOk(mutex.isBusy('0'), 'what it had taken already is free again');
  gate.resolve();
  await Promise.all([first, second]);
});
