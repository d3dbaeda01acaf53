import t from 'tap';
import { Strangers } from '../../../shared/net/strangers.ts';

function room(total: number, perAddress: number) {
  const strangers = new Strangers(total, perAddress);
  const cut: string[] = [];
  return { strangers, cut, enter: (address: string, name: string) => strangers.enter(address, () => cut.push(name)) };
}

t.test('B1: behind one crowded address the oldest goes, not the newcomer', async (t) => {
  const { strangers, cut, enter } = room(100, 3);
  enter('10.0.0.1', 'a1');
  const a2 = enter('10.0.0.1', 'a2');
  enter('10.0.0.1', 'a3');
  enter('10.0.0.2', 'b1');
  enter('10.0.0.1', 'a4');
  t.strictSame(cut, ['a1']);
  a2.leave();
  a2.leave();
  enter('10.0.0.1', 'a5');
  t.strictSame(cut, ['a1'], 'who has shown who it is makes room');
  enter('10.0.0.1', 'a6');
  t.strictSame(cut, ['a1', 'a3']);
  t.equal(strangers.count, 4);
  t.equal(strangers.evicted, 2);
});

t.test('B1: when all is full, the address that has the most gives way', async (t) => {
  const { strangers, cut, enter } = room(5, 4);
  enter('10.0.0.9', 'owner');
  for (const name of ['a1', 'a2', 'a3', 'a4']) enter('10.0.0.1', name);
  enter('10.0.0.2', 'b1');
  t.strictSame(cut, ['a1']);
  for (let i = 2; i < 200; i++) enter(`10.0.1.${i}`, `c${i}`);
  t.equal(strangers.count, 5);
  t.notOk(cut.slice(0, 3).includes('owner'));
  t.equal(strangers.evicted, cut.length);
});
