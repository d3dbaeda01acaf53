/** B3: thousands of endpoints, opened and closed while all kinds of streams go through them, leave nothing behind. */
import { readdirSync, readFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import t from 'tap';
import { Endpoints } from '../../../backend/endpoints/endpoints.ts';
import { startPeer } from './endpoint-peers.ts';
import { until } from './fixture.ts';

/** Below the ports that the kernel gives to clients. */
const FIRST = 26400;
const AT_ONCE = 20;
const WARM_UP = 200;
const ENDPOINTS = 2000;

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

/** Heap and buffers without garbage, some of which goes only in later turns of the loop. */
async function memoryInUse(): Promise<number> {
  let least = Number.POSITIVE_INFINITY;
  for (let i = 0; i < 20; i++) {
    await new Promise((resolve) => setTimeout(resolve, 50));
    collectGarbage();
    const { heapUsed, external } = process.memoryUsage();
    least = Math.min(least, heapUsed + external);
  }
  return least;
}

const descriptors = (): number => readdirSync('/proc/self/fd').length;

/** Ports of this range on which anybody listens. See proc_net(5): state 0A is LISTEN. */
function listening(): number[] {
  const lines = readFileSync('/proc/net/tcp', 'latin1').split('\n').slice(1);
  return lines.flatMap((line) => {
    const [, local, , state] = line.trim().split(/\s+/);
    const port = Number.parseInt(local?.split(':')[1] ?? '', 16);
    return state === '0A' && port >= FIRST && port < FIRST + AT_ONCE ? [port] : [];
  });
}

/** Resolves at that event, or when the socket has closed before it. */
const heard = (socket: Socket, event: string): Promise<void> =>
  new Promise((resolve) => void socket.once(event, () => resolve()).once('close', () => resolve()));

t.test('descriptors, ports and memory are as before', { timeout: 120_000 }, async (t) => {
  const echo = await startPeer(t);
  const cutter = await startPeer(t, (socket) => void socket.once('data', () => socket.resetAndDestroy()));
  const silent = await startPeer(t, (socket) => void socket.pause());
  const limits = { address: '127.0.0.1', firstPort: FIRST, lastPort: FIRST + AT_ONCE - 1 };
  const endpoints = new Endpoints({ ...limits, idleSeconds: 60, perUser: AT_ONCE, streams: 4 }, Date.now);
  t.teardown(() => endpoints.closeAll());

  const dial = (port: number, localAddress = '127.0.0.1'): Socket =>
    connect({ host: '127.0.0.1', port, localAddress, allowHalfOpen: true }).on('error', () => {});
  /** What people and programs do with a stream; each resolves when it is time to close the endpoint. */
  const uses: { target: number | undefined; use(port: number): Promise<void> }[] = [
    { target: echo.port, use: (port) => heard(dial(port).resume().end('to the end'), 'close') },
    {
      target: echo.port,
      async use(port) {
        const socket = dial(port);
        socket.write('x');
        await heard(socket, 'data');
        socket.resetAndDestroy();
      },
    },
    { target: cutter.port, use: (port) => heard(dial(port).end('x'), 'close') },
    // Half closed, and both sides wait when the endpoint closes.
    { target: silent.port, use: (port) => heard(dial(port).end('x'), 'finish') },
    {
      // The far side does not read: what is buffered on the way goes, too.
      target: silent.port,
      async use(port) {
        const socket = dial(port);
        await heard(socket, 'connect');
        socket.write(Buffer.alloc(256 * 1024));
      },
    },
    { target: echo.port, use: (port) => heard(dial(port, '127.0.0.2'), 'close') },
    { target: undefined, use: (port) => heard(dial(port), 'close') },
    // Nobody listens there.
    { target: 1, use: (port) => heard(dial(port).end('x'), 'close') },
    // More than may be: the fifth is cut.
    { target: silent.port, use: (port) => Promise.race([1, 2, 3, 4, 5].map(() => heard(dial(port), 'close'))) },
    // Closed in the middle of it.
    { target: echo.port, use: async (port) => void dial(port) },
    { target: echo.port, use: async () => {} },
  ];

  let next = 0;
  const openUseClose = async (count: number): Promise<void> => {
    const one = async () => {
      for (let i = next++; i < count; i = next++) {
        const { target, use } = uses[i % uses.length] as (typeof uses)[number];
        const opened = await endpoints.open({
          userId: 'user-1',
          sessionId: `session-${i}`,
          vmId: 'vm-1',
          sourceAddress: '127.0.0.1',
          expiresAt: Date.now() + 60_000,
          target: () => (target === undefined ? undefined : { host: '127.0.0.1', port: target }),
        });
        await use(opened.port);
        if (i % 3 === 0) await endpoints.closeOfSession(`session-${i}`);
        else await endpoints.close(opened.endpointId);
      }
    };
    next = 0;
    await Promise.all(Array.from({ length: AT_ONCE }, one));
    await until(() => {
      for (const socket of silent.sockets) socket.destroy(); // who does not read does not see a reset either
      return echo.sockets.size + cutter.sockets.size + silent.sockets.size === 0;
    }, 20_000);
  };

  const before = descriptors();
  await openUseClose(WARM_UP);
  await until(() => descriptors() === before, 20_000);
  const memoryBefore = await memoryInUse();
  await openUseClose(ENDPOINTS);
  await until(() => descriptors() === before, 20_000);
  const grown = (await memoryInUse()) - memoryBefore;

  t.strictSame(endpoints.list(), []);
  t.strictSame(listening(), [], 'no port is left');
  t.match(endpoints.metrics, { endpoints: 0, streams: 0, endpointsTotal: WARM_UP + ENDPOINTS });
  const { address, streams, target } = endpoints.metrics.refusedTotal;
  t.ok(address > 150 && streams > 150 && target > 150, 'all kinds took place');
  // A timer, closure or entry that stayed for each endpoint would be a kilobyte or more each.
  t.ok(grown < 1024 * 1024, `${grown} bytes more than after the warm-up`);
});
