import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import t from 'tap';
import { delayLine } from '../../../bench/tunnel/delay-line.ts';

t.test('a delay line: later by the delay, and all of it, ends too', async (t) => {
  const EACH_WAY_MS = 50;
  const server = createServer({ allowHalfOpen: true }, (socket) => void socket.pipe(socket));
  const line = createServer({ allowHalfOpen: true }, (near) => {
    const far = connect({ port: portOf(server), host: '127.0.0.1', allowHalfOpen: true });
    delayLine(near, far, EACH_WAY_MS);
    delayLine(far, near, EACH_WAY_MS);
  });
  const portOf = (it: typeof server): number => (it.address() as AddressInfo).port;
  for (const it of [server, line]) await once(it.listen(0, '127.0.0.1'), 'listening');
  t.teardown(() => [server, line].map((it) => it.close()));
  const user: Socket = connect({ port: portOf(line), host: '127.0.0.1' });
  await once(user, 'connect');
  const sent = Buffer.alloc(3_000_000, 'some bytes ');
  const started = performance.now();
  let came: number | undefined;
  const chunks: Buffer[] = [];
  user.on('data', (chunk: Buffer) => {
    came ??= performance.now() - started;
    chunks.push(chunk);
  });
  user.end(sent);
  await once(user, 'end');
  t.ok((came ?? 0) >= 2 * EACH_WAY_MS - 2, `${came} ms`); // a timer of Node may be a millisecond early
  t.ok(Buffer.concat(chunks).equals(sent));
});
