/**
 * An SSH agent on a Unix socket with one key: the person's identity, which stays in this process. It signs a sign-in to one
 * account and nothing else (agent-message.ts). Our own and not ssh2's: that one has no bound on a message, and takes the rest
 * of one that it does not know (session-bind@openssh.com, which OpenSSH sends first) for the next.
 */
import { createServer, type Socket } from 'node:net';
import { type AgentKey, failureAnswer, identitiesAnswer, readAgentRequest, signatureAnswer } from './agent-message.ts';

export interface Agent {
  close(): Promise<void>;
}

/** Far more than a request to sign in has, extensions included. */
const MAX_MESSAGE_BYTES = 16_384;
const MAX_CONNECTIONS = 32;

/** @param path in a folder that only this user may enter. @param sign by the key that `key` names. */
export async function startAgent(path: string, key: AgentKey, sign: (data: Uint8Array) => Uint8Array): Promise<Agent> {
  const open = new Set<Socket>();
  const server = createServer((socket) => {
    open.add(socket);
    socket.on('error', () => {}); // 'close' follows
    socket.once('close', () => open.delete(socket));
    let received: Buffer = Buffer.alloc(0);
    socket.on('data', (chunk: Buffer) => {
      received = Buffer.concat([received, chunk]);
      while (received.length >= 4) {
        const end = 4 + received.readUInt32BE(0);
        if (end > MAX_MESSAGE_BYTES) return void socket.destroy();
        if (received.length < end) return;
        socket.write(answerTo(received.subarray(4, end), key, sign));
        received = received.subarray(end);
      }
    });
  });
  server.maxConnections = MAX_CONNECTIONS;
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(path, resolve);
  });
  return {
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve()); // removes the socket's file
        for (const socket of open) socket.destroy();
      }),
  };
}

function answerTo(message: Uint8Array, key: AgentKey, sign: (data: Uint8Array) => Uint8Array): Uint8Array {
  const request = readAgentRequest(message, key);
  if (request.kind === 'identities') return identitiesAnswer(key);
  return request.kind === 'sign' ? signatureAnswer(sign(request.data)) : failureAnswer();
}
