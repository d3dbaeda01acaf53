/** A small relay for vmc's own tests: speaks relay-wire.ts, pairs one user with one VM, and keeps what it saw. */
import { randomBytes } from 'node:crypto';
import { EventEmitter, once } from 'node:events';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { type WebSocket, WebSocketServer } from 'ws';
import { utf8 } from '../../../shared/bytes.ts';
import type { Ed25519PublicKey } from '../../../shared/identity/keys.ts';
import { verifyStatement } from '../../../shared/identity/statement.ts';
import { makeCertificate, spkiPin } from '../../../shared/net/certificate.ts';
import { TLS_OPTIONS } from '../../../shared/net/tls.ts';
import { PASS_BYTES } from '../../../shared/relay/ticket.ts';
import { RELAY_CLOSE, RELAY_USER_PATH, statementContexts, vmToRelaySchema } from '../../../shared/relay-wire.ts';
import { routes } from '../../../shared/rest-api/index.ts';

/** Fake: the pass is the VM's id, over and over. */
const VM_ID_LENGTH = 'vm-0123456789ab'.length;

export class Relay {
  readonly pin: string;
  readonly #server: Server;
  readonly #sockets = new WebSocketServer({ noServer: true });
  readonly #parked: WebSocket[] = [];
  #vm: Ed25519PublicKey | undefined;
  /** Every byte of paired sockets, both ways. */
  readonly captured: Buffer[] = [];
  enrolments = 0;
  readonly #events = new EventEmitter();

  constructor() {
    const certificate = makeCertificate('relay', 'serverAuth', 1, new Date());
    this.pin = spkiPin(certificate.certificatePem);
    this.#server = createServer(
      { ...TLS_OPTIONS, cert: certificate.certificatePem, key: certificate.privateKeyPem },
      (request, answer) => {
        const chunks: Buffer[] = [];
        request.on('data', (chunk: Buffer) => chunks.push(chunk));
        request.on('end', () => {
          if (request.url !== routes.vmEnrol.path) {
            answer.writeHead(404).end();
            return;
          }
          const body = routes.vmEnrol.body.parse(JSON.parse(Buffer.concat(chunks).toString()));
          this.#vm = body.identity.ed25519;
          this.enrolments++;
          const pass = Buffer.alloc(PASS_BYTES, body.vmId).toString('base64');
          answer.end(JSON.stringify({ pass, relays: [{ url: 'https://elsewhere.example:1', pin: this.pin }] }));
        });
      },
    );
    this.#server.on('upgrade', (request, socket, head) =>
      this.#sockets.handleUpgrade(request, socket, head, (ws) => {
        if (request.url?.startsWith(RELAY_USER_PATH) === true) this.#pair(ws);
        else this.#park(ws);
      }),
    );
  }

  get idle(): number {
    return this.#parked.length;
  }

  /** Resolves when a socket of the VM waits here. */
  async whenParked(): Promise<void> {
    if (this.idle === 0) await once(this.#events, 'parked', { signal: AbortSignal.timeout(10_000) });
  }

  async listen(port = 0): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(port, '127.0.0.1', resolve));
    return `https://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async close(): Promise<void> {
    for (const ws of this.#sockets.clients) ws.terminate();
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #park(ws: WebSocket): void {
    const challenge = randomBytes(32);
    ws.send(JSON.stringify({ type: 'challenge', challenge: challenge.toString('base64') }));
    ws.once('message', (data) => {
      const { pass, signature } = vmToRelaySchema.parse(JSON.parse(String(data)));
      const parts = [challenge, pass.subarray(0, VM_ID_LENGTH), utf8(this.pin)];
      if (this.#vm === undefined || !verifyStatement(this.#vm, statementContexts.relayPark, parts, signature)) {
        ws.close(RELAY_CLOSE.unauthenticated);
        return;
      }
      ws.send(JSON.stringify({ type: 'parked' }));
      this.#parked.push(ws);
      ws.once('close', () => this.#parked.splice(this.#parked.indexOf(ws) >>> 0, 1));
      this.#events.emit('parked');
    });
  }

  #pair(user: WebSocket): void {
    const vm = this.#parked.shift();
    if (vm === undefined) {
      user.close(RELAY_CLOSE.noVmParked);
      return;
    }
    const pass = (from: WebSocket, to: WebSocket) => {
      from.on('message', (data: Buffer, isBinary) => {
        this.captured.push(data);
        to.send(data, { binary: isBinary });
      });
      from.once('close', () => to.close());
    };
    pass(user, vm);
    pass(vm, user);
    for (const ws of [vm, user]) ws.send(JSON.stringify({ type: 'paired' }));
  }
}
