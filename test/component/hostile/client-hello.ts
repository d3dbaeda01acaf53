/** The first flight of a real TLS client. Not a test itself. */
import { Duplex } from 'node:stream';
import { connect, type SecureVersion } from 'node:tls';

/** @param groups that it knows, the one with a key share first. */
export function clientHello(version: SecureVersion, groups?: string): Promise<Buffer> {
  const { promise, resolve } = Promise.withResolvers<Buffer>();
  const wire = new Duplex({
    read() {},
    write(chunk: Buffer, _encoding, done) {
      resolve(chunk);
      done();
    },
  });
  const socket = connect({
    socket: wire,
    minVersion: version,
    maxVersion: version,
    ...(groups && { ecdhCurve: groups }),
  });
  socket.on('error', () => {});
  return promise.finally(() => socket.destroy());
}
