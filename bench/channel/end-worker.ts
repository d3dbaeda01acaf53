/** One end of a websocket: a plain server or client, a VM's end or a device's end at the relay, with a channel or without. */
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { type WebSocket, WebSocketServer } from 'ws';
import * as z from 'zod';
import { BackendClient } from '../../shared/backend-client/client.ts';
import { VmClient } from '../../shared/backend-client/vm-client.ts';
import { openSocket } from '../../shared/backend-client/websocket.ts';
import { ReplayCache } from '../../shared/channel/replay-cache.ts';
import { acceptChannel, openChannel } from '../../shared/channel/run-handshake.ts';
import { webSocketTransport } from '../../shared/channel/websocket-transport.ts';
import { decodeIdentitySecret } from '../../shared/identity/identity.ts';
import { ed25519Schema } from '../../shared/identity/public-identity.ts';
import { base64Schema, sha256HexSchema, vmIdSchema } from '../../shared/names.ts';
import { makeCertificate, spkiPin } from '../../shared/net/certificate.ts';
import { pinnedAgent } from '../../shared/net/pinned-agent.ts';
import { TLS_OPTIONS } from '../../shared/net/tls.ts';
import { PASS_BYTES } from '../../shared/relay/ticket.ts';
import { ownCpuSeconds, serveWorker } from '../serve-worker.ts';
import { channelLine, type Line, plainLine, receiveBytes, sendPattern } from './line.ts';

const addressSchema = z.strictObject({ url: z.string(), pin: sha256HexSchema });
const identitySchema = base64Schema(164, 164).transform(decodeIdentitySecret);
const sideSchema = z.strictObject({
  relay: addressSchema,
  vmId: vmIdSchema,
  identity: identitySchema,
  channel: z.boolean(),
});
const parkSchema = sideSchema.extend({ pass: base64Schema(PASS_BYTES, PASS_BYTES) });
const callSchema = sideSchema.extend({ peer: ed25519Schema });
const sendSchema = z.strictObject({ bytes: z.int().positive() });
const receiveSchema = sendSchema.extend({ hashed: z.boolean() });

const ready = Promise.withResolvers<Line>();
ready.promise.catch(() => undefined); // whoever uses it learns of it

serveWorker({
  /** A plain server for one websocket, with TLS as the backend has it. */
  async listen() {
    const { certificatePem, privateKeyPem } = makeCertificate('bench', 'serverAuth', 1, new Date());
    const server = createServer({ ...TLS_OPTIONS, key: privateKeyPem, cert: certificatePem });
    const sockets = new WebSocketServer({ server, perMessageDeflate: false });
    sockets.on('connection', (socket) => ready.resolve(plainLine(socket)));
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(0, '127.0.0.1', resolve);
    });
    const { port } = server.address() as AddressInfo;
    return { url: `https://127.0.0.1:${port}`, pin: spkiPin(certificatePem) };
  },

  async dial(input) {
    const address = addressSchema.parse(input);
    ready.resolve(plainLine(await openSocket(address, '/', { agent: pinnedAgent(address.pin) })));
  },

  /** Parks as vmc does. */
  async park(input) {
    const { relay, vmId, identity, pass, channel } = parkSchema.parse(input);
    const { paired } = await new VmClient(relay).parkAtRelay(relay, identity, vmId, pass);
    const accept = async (socket: WebSocket): Promise<Line> => {
      if (!channel) return plainLine(socket);
      const options = { identity, authorize: () => true, replayCache: new ReplayCache() };
      return channelLine(await acceptChannel(webSocketTransport(socket), options));
    };
    paired.then(accept).then(ready.resolve, ready.reject);
  },

  /** Calls as connect does. */
  async call(input) {
    const { relay, vmId, identity, peer, channel } = callSchema.parse(input);
    const client = new BackendClient(relay);
    await client.signIn(identity);
    const socket = await client.openRelayToVm(vmId);
    if (!channel) return ready.resolve(plainLine(socket));
    ready.resolve(channelLine(await openChannel(webSocketTransport(socket), { identity, peer, purpose: 'control' })));
  },

  async send(input) {
    const { bytes } = sendSchema.parse(input);
    const line = await ready.promise;
    const cpu = ownCpuSeconds();
    await sendPattern(line, bytes);
    return { cpuSeconds: ownCpuSeconds() - cpu };
  },

  async receive(input) {
    const { bytes, hashed } = receiveSchema.parse(input);
    const line = await ready.promise;
    const cpu = ownCpuSeconds();
    const hash = await receiveBytes(line, bytes, hashed);
    return { cpuSeconds: ownCpuSeconds() - cpu, hash: hash ?? null };
  },
});
