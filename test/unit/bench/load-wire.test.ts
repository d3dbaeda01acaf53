import t from 'tap';
import { decodeOrder, ECHO, encodeOrder, ORDER_BYTES, type Order } from '../../../bench/tunnel/load-wire.ts';

t.test('an order of the load programs arrives as it was sent', async (t) => {
  const orders: Order[] = [
    { direction: 'up', bytes: 1, hashed: true },
    { direction: 'down', bytes: 2 ** 40, hashed: false },
  ];
  for (const order of orders) {
    const bytes = encodeOrder(order);
    t.equal(bytes.length, ORDER_BYTES);
    t.not(bytes[0], ECHO);
    t.strictSame(decodeOrder(bytes), order);
  }
  t.throws(() => decodeOrder(Buffer.alloc(ORDER_BYTES)), RangeError);
  t.throws(() => decodeOrder(encodeOrder({ direction: 'up', bytes: 1, hashed: true }).subarray(1)), RangeError);
});
