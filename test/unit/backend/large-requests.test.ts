import t from 'tap';
import { LargeRequests } from '../../../backend/rest/large-requests.ts';

t.test('one for each person; a place is free again after its time, whoever forgets to leave it', async (t) => {
  const large = new LargeRequests(20);
  const cut = Promise.withResolvers<void>();
  large.enter('user-1', cut.resolve);
  t.throws(() => large.enter('user-1', () => {}), { code: 'limit' });
  await cut.promise;
  const leave = large.enter('user-1', () => {});
  leave();
  large.enter('user-1', () => {})();
});

t.test('who leaves late does not give up the place of who came after', async (t) => {
  const large = new LargeRequests(20);
  const cut = Promise.withResolvers<void>();
  const late = large.enter('user-1', cut.resolve);
  await cut.promise;
  const leave = large.enter('user-1', () => {});
  late();
  t.throws(() => large.enter('user-1', () => {}), { code: 'limit' });
  leave();
});
