/** B1: who has shown who they are is one connection, and no other. */
import { once } from 'node:events';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { createServer } from 'node:tls';
import t from 'tap';
import { FrontDoor } from '../../../backend/net/front-door.ts';

const LIMITS = { connections: 8, connectionsPerAddress: 8, preAuth: 8, preAuthPerAddress: 8, preAuthSeconds: 60 };

t.test('connections that differ in nothing but the address of the backend are not taken for one another', async (t) => {
  const door = new FrontDoor(LIMITS);
  const server = createServer();
  door.guard(server);
  server.listen(0, '0.0.0.0');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const arrivals: Socket[] = [];
  const dial = async (host: string, localPort: number) => {
    const arrived = once(server, 'connection') as Promise<[Socket]>;
    const socket = connect({ host, port, localAddress: '127.0.0.1', localPort }).on('error', () => {});
    arrivals.push((await arrived)[0]);
    t.teardown(() => socket.destroy());
    return socket;
  };
  t.teardown(() => {
    for (const socket of arrivals) socket.destroy();
    server.close();
  });
  const first = await dial('127.0.0.1', 0);
  await dial('127.0.0.2', first.localPort ?? 0);
  const [one, other] = arrivals.map((socket) => door.guest(socket));
  t.ok(one !== undefined && other !== undefined && one !== other);
  one?.known();
  t.equal(door.strangers.count, 1, 'the other has still to show who it is');
});
