import t from 'tap';
import { FRESHNESS_MS } from '../../../shared/channel/limits.ts';
import { ReplayCache } from '../../../shared/channel/replay-cache.ts';

const peer = (n: number) => new Uint8Array(32).fill(n);
const nonce = (n: number) => new Uint8Array(32).fill(n);

t.test('a hello is remembered for as long as it could be fresh, then forgotten', async (t) => {
  const cache = new ReplayCache();
  t.equal(cache.add(peer(1), nonce(1), 0), 'new');
  t.ok(cache.has(peer(1), nonce(1)));
  // From a clock five minutes ahead, it is fresh for ten.
  t.equal(cache.add(peer(1), nonce(1), 2 * FRESHNESS_MS), 'replayed');
  t.equal(cache.add(peer(2), nonce(2), 2 * FRESHNESS_MS + 60_000), 'new');
  t.equal(cache.size, 1, 'the first is gone');
  t.notOk(cache.has(peer(1), nonce(1)));
});

t.test('the same nonce from another person is another hello', async (t) => {
  const cache = new ReplayCache();
  cache.add(peer(1), nonce(1), 0);
  t.notOk(cache.has(peer(2), nonce(1)));
  t.equal(cache.add(peer(2), nonce(1), 0), 'new');
});

t.test('it is bounded, for each person and in all, and refuses rather than forgets', async (t) => {
  const cache = new ReplayCache({ maxEntries: 5, maxPerPeer: 3, alwaysPerPeer: 1 });
  for (let i = 0; i < 3; i++) t.equal(cache.add(peer(1), nonce(i), 0), 'new');
  t.equal(cache.add(peer(1), nonce(9), 0), 'full');
  t.equal(cache.add(peer(1), nonce(0), 0), 'replayed', 'a known one is still known');
  t.equal(cache.add(peer(2), nonce(0), 0), 'new', 'others still come in');
  t.equal(cache.add(peer(3), nonce(0), 0), 'new');
  t.equal(cache.add(peer(3), nonce(1), 0), 'full');
  t.equal(cache.add(peer(4), nonce(0), 0), 'new', 'several together keep nobody out who has hardly any');
  t.equal(cache.add(peer(4), nonce(1), 0), 'full');
  const later = 3 * FRESHNESS_MS;
  t.equal(cache.add(peer(1), nonce(9), later), 'new', 'and time makes room');
  t.equal(cache.size, 1);
});
