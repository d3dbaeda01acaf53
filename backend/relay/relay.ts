/** The relay: pairs a user's websocket with one that the VM has parked, and understands nothing of what they say (B1). */
import type { RawData, WebSocket } from 'ws';
import { utf8 } from '../../shared/bytes.ts';
import { ed25519PublicKey } from '../../shared/identity/keys.ts';
import { verifyStatement } from '../../shared/identity/statement.ts';
import { RELAY_CLOSE, statementContexts, vmToRelaySchema } from '../../shared/relay-wire.ts';
import { closeSoon, demandProof } from '../net/demand-proof.ts';
import type { Heartbeat } from '../net/heartbeat.ts';
import { Line, type Parked, type WaitingUser } from './line.ts';
import { joinSockets } from './pipe.ts';

/** Milliseconds that a user waits for the next socket of a VM that was here a moment ago. */
const WAIT_MS = 5_000;
const A_MOMENT_MS = 30_000;
const MAX_WAITING_PER_VM = 8;
const PROTOCOL_ERROR = 1002; // RFC 6455 7.4.1

export interface RelayDeps {
  /** The VM's Ed25519 key; undefined for a VM that is unknown or has not enrolled. */
  vmKey(vmId: string): Uint8Array | undefined;
  /** SPKI pin of this server, which the VM's signature covers. */
  pin: string;
  heartbeat: Heartbeat;
  limits: { idlePerVm: number; pairedPerVm: number; pairedPerUser: number };
  /** Gets every payload that the relay receives. */
  capture?: ((bytes: Uint8Array) => void) | undefined;
  paired?: ((userId: string, vmId: string) => void) | undefined;
}

interface User {
  socket: WebSocket;
  userId: string;
  vmId: string;
}

export class Relay {
  readonly #deps: RelayDeps;
  /** At most one for each VM that has ever parked. */
  readonly #lines = new Map<string, Line>();
  /** Sockets of each user, waiting ones included. */
  readonly #ofUser = new Map<string, number>();

  constructor(deps: RelayDeps) {
    this.#deps = deps;
  }

  /** A socket of this VM waits here. */
  isReady(vmId: string): boolean {
    return this.#lines.get(vmId)?.ready === true;
  }

  /** @param over called once when the socket has proven who it is, or has gone. */
  acceptVm(socket: WebSocket, over: () => void): void {
    this.#captureAll(socket);
    demandProof(socket, {
      answer: vmToRelaySchema,
      check: ({ vmId, signature }, challenge) => {
        const key = this.#deps.vmKey(vmId);
        if (key === undefined) return undefined;
        const parts = [challenge, utf8(vmId), utf8(this.#deps.pin)];
        return verifyStatement(ed25519PublicKey(key), statementContexts.relayPark, parts, signature) ? vmId : undefined;
      },
      proven: (vmId) => this.#park(socket, vmId),
      over,
    });
  }

  /** The caller has checked that this user may reach this VM. */
  acceptUser(socket: WebSocket, userId: string, vmId: string): void {
    this.#captureAll(socket);
    socket.pause(); // what it says is for the VM, once there is one
    const line = this.#lines.get(vmId);
    const ofUser = this.#ofUser.get(userId) ?? 0;
    if (line === undefined) {
      closeSoon(socket, RELAY_CLOSE.noVmParked);
      return;
    }
    if (line.paired.size >= this.#deps.limits.pairedPerVm || ofUser >= this.#deps.limits.pairedPerUser) {
      closeSoon(socket, RELAY_CLOSE.limit);
      return;
    }
    this.#ofUser.set(userId, ofUser + 1);
    socket.once('close', () => {
      const left = (this.#ofUser.get(userId) ?? 1) - 1;
      if (left === 0) this.#ofUser.delete(userId);
      else this.#ofUser.set(userId, left);
    });
    this.#serve(line, { socket, userId, vmId });
  }

  /** Cuts all sockets of a VM that is no more. */
  drop(vmId: string): void {
    for (const socket of this.#lines.get(vmId)?.sockets() ?? []) socket.terminate();
    this.#lines.delete(vmId);
  }

  #captureAll(socket: WebSocket): void {
    const { capture } = this.#deps;
    if (capture !== undefined) socket.on('message', (data: RawData) => capture(data as Buffer));
  }

  #park(socket: WebSocket, vmId: string): void {
    const line = this.#lines.get(vmId) ?? new Line();
    this.#lines.set(vmId, line);
    const tooEarly = () => closeSoon(socket, PROTOCOL_ERROR); // while it is parked it has nothing to say
    const parked: Parked = { socket, takeOff: () => socket.off('message', tooEarly) };
    socket.on('message', tooEarly);
    socket.once('close', () => line.forget(parked));
    // Each text leaves before the next is written: two in one TLS record reach the VM in one event, but it pauses
    // its socket after each and would miss the second.
    socket.send(JSON.stringify({ type: 'parked' }), () => {
      if (socket.readyState !== socket.OPEN) return;
      const tooMany = line.park(parked, performance.now(), this.#deps.limits.idlePerVm);
      if (tooMany !== undefined) closeSoon(tooMany.socket, RELAY_CLOSE.limit);
    });
    this.#deps.heartbeat.watch(socket);
  }

  #serve(line: Line, user: User): void {
    const parked = line.take();
    if (parked !== undefined) this.#pair(line, parked, user);
    else if (line.idleSince(performance.now()) > A_MOMENT_MS) closeSoon(user.socket, RELAY_CLOSE.noVmParked);
    else if (line.waiting >= MAX_WAITING_PER_VM) closeSoon(user.socket, RELAY_CLOSE.limit);
    else this.#wait(line, user);
  }

  #wait(line: Line, user: User): void {
    const waiting: WaitingUser = {
      wake: () => {
        leave();
        this.#serve(line, user);
      },
    };
    const leave = () => {
      clearTimeout(timer);
      line.leave(waiting);
      user.socket.off('close', leave);
    };
    const timer = setTimeout(() => {
      leave();
      closeSoon(user.socket, RELAY_CLOSE.noVmParked);
    }, WAIT_MS);
    user.socket.once('close', leave);
    line.wait(waiting);
  }

  #pair(line: Line, parked: Parked, user: User): void {
    const vm = parked.socket;
    line.paired.add(vm);
    vm.once('close', () => line.paired.delete(vm));
    parked.takeOff();
    vm.pause();
    const paired = JSON.stringify({ type: 'paired' });
    vm.send(paired, () => {
      if (user.socket.readyState !== user.socket.OPEN) closeSoon(vm, 1000);
      else if (vm.readyState !== vm.OPEN)
        this.#serve(line, user); // it was dead: perhaps the next is not
      else {
        user.socket.send(paired);
        this.#join(vm, user);
      }
    });
  }

  #join(vm: WebSocket, user: User): void {
    const { heartbeat, paired } = this.#deps;
    const userPulse = heartbeat.watch(user.socket);
    const vmPulse = heartbeat.pulse(vm);
    joinSockets(vm, user.socket, {
      passed: (to) => (to === vm ? vmPulse : userPulse).sent(),
    });
    vm.resume();
    user.socket.resume();
    paired?.(user.userId, user.vmId);
  }
}
