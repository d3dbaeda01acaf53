/** One authenticated tunnel connection: reads its CONNECT, reaches the port, and then passes bytes both ways. */
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { isErrno } from '../../shared/files.ts';
import { cutSocket } from '../../shared/net/cut.ts';
import { connectInto } from '../../shared/net/inflow.ts';
import { join } from '../../shared/net/join.ts';
import { CONNECTED, parseConnect, type RefusalStatus, refusal } from './parse-connect.ts';
import { allowsPort, type PortRange } from './parse-ports.ts';

export interface ServeConnectDeps {
  /** Those that the grant leads to now. */
  ports: () => readonly PortRange[];
  /** Called once a whole request, right or wrong, has arrived. */
  onRequest: () => void;
  /** Told of a well-formed request that the grant does not allow. */
  onRefused: (reason: 'port-not-allowed' | 'too-many-streams', port: number) => void;
  /** Asks for a place among the streams of the grant and its person. False: they have as many as they may. */
  begin: () => boolean;
  /** Told of the connection to the service, when it is begun. */
  onService: (service: Socket, port: number) => void;
  /** Ends the peer's connection in such a way that it sees a cut. */
  cut: () => void;
}

const CONNECT_TIMEOUT_MS = 10_000;
/** A peer that was refused, or was ended before it asked, and does not close its side, is cut after this. */
export const LINGER_MS = 5000;
/** A peer that has vanished shows by TCP keep-alive, which begins after so much silence. */
export const KEEP_ALIVE_MS = 60_000;

export function serveConnect(peer: TLSSocket, deps: ServeConnectDeps): void {
  let head: Buffer = Buffer.alloc(0);
  const onEnd = () => peer.destroy();
  const onData = (chunk: Buffer) => {
    if (peer.writableEnded) return; // it was ended, to make room for another: there is nothing that could be answered
    const received = Buffer.concat([head, chunk]);
    const request = parseConnect(received);
    if (request.kind === 'more') {
      head = received; // shorter than MAX_HEAD_BYTES, or it would have been refused
      return;
    }
    peer.off('data', onData).off('end', onEnd).pause();
    deps.onRequest();
    if (request.kind === 'wrong') return refuse(peer, request.status, request.reason);
    if (!allowsPort(deps.ports(), request.port)) {
      deps.onRefused('port-not-allowed', request.port);
      const list = "this VM's list of ports (tunnel.ports in vmc.toml)";
      return refuse(peer, 403, `Port ${request.port} is not on ${list}, or you lack the right "ports".`);
    }
    if (!deps.begin()) {
      deps.onRefused('too-many-streams', request.port);
      return refuse(peer, 429, 'Too many streams are open, of this device or of all of yours. Close one.');
    }
    if (received.length > request.headBytes) peer.unshift(received.subarray(request.headBytes));
    deps.onService(reach(peer, request.port, deps.cut), request.port);
  };
  peer.on('data', onData).on('end', onEnd);
}

function refuse(peer: TLSSocket, status: RefusalStatus, reason: string): void {
  const timer = setTimeout(() => peer.destroy(), LINGER_MS);
  peer.once('close', () => clearTimeout(timer));
  peer.resume(); // what else it sends is of no interest
  peer.once('end', () => peer.end());
  peer.end(refusal(status, reason));
}

function reach(peer: TLSSocket, port: number, cut: () => void): Socket {
  const service = connectInto(peer, {
    host: '127.0.0.1',
    port,
    allowHalfOpen: true,
    noDelay: true,
    keepAlive: true,
    keepAliveInitialDelay: KEEP_ALIVE_MS,
  });
  const timer = setTimeout(() => fail(`Port ${port} of this VM does not answer.`), CONNECT_TIMEOUT_MS);
  const fail = (reason: string) => {
    clearTimeout(timer);
    service.destroy();
    refuse(peer, 502, reason);
  };
  const onError = (error: Error) =>
    fail(
      isErrno(error, 'ECONNREFUSED')
        ? `Nothing listens on port ${port} of this VM.`
        : `Port ${port} of this VM cannot be reached.`,
    );
  const onGone = () => service.destroy();
  peer.once('close', onGone);
  service.once('error', onError);
  service.once('connect', () => {
    clearTimeout(timer);
    service.off('error', onError).on('error', () => {}); // 'close' follows
    peer.off('close', onGone);
    // What the device has said already comes first: its answer is what somebody waits for.
    const early: Buffer | null = peer.read();
    if (early !== null) service.write(early);
    peer.write(CONNECTED); // in this turn of the loop, so before the first byte of the service is read
    void join({ stream: peer, cut }, { stream: service, cut: () => cutSocket(service), flows: true });
  });
  return service;
}
