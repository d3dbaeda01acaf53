/** A WebSocket server over TLS on loopback, as the backend has one. Not a test itself. */
import { once } from 'node:events';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { Test } from 'tap';
import WebSocket, { WebSocketServer } from 'ws';
import { MAX_TRANSPORT_MESSAGE } from '../../../shared/channel/limits.ts';
import { makeCertificate } from '../../../shared/net/certificate.ts';

const options = { maxPayload: MAX_TRANSPORT_MESSAGE, perMessageDeflate: false };

/** @returns a maker of connections (`more`: options of the client): the client's socket, still connecting, and the server's once it is there. */
export async function startWss(
  t: Test,
): Promise<(more?: object) => { client: WebSocket; accepted: Promise<WebSocket> }> {
  const { certificatePem, privateKeyPem } = makeCertificate('loopback', 'serverAuth', 1, new Date());
  const https = createServer({ cert: certificatePem, key: privateKeyPem });
  const server = new WebSocketServer({ server: https, ...options });
  https.listen(0, '127.0.0.1');
  await once(https, 'listening');
  t.teardown(() => {
    for (const socket of server.clients) socket.terminate();
    server.close();
    https.close();
  });
  const { port } = https.address() as AddressInfo;
  return (more = {}) => {
    const accepted = once(server, 'connection').then(([socket]) => socket as WebSocket);
    // Whose certificate it is does not matter: a channel trusts nothing of what it runs over.
    const tls = { rejectUnauthorized: false };
    return { client: new WebSocket(`wss://127.0.0.1:${port}`, { ...options, ...tls, ...more }), accepted };
  };
}
