/** The relay: pairs a user's websocket with one that the VM has parked, and understands nothing of what they say (B1). */
import type { RawData, WebSocket } from 'ws';
import type { Pass } from '../../shared/relay/ticket.ts';
import { RELAY_CLOSE, vmToRelaySchema } from '../../shared/relay-wire.ts';
import { closeSoon, demandProof } from '../net/demand-proof.ts';
import type { Heartbeat } from '../net/heartbeat.ts';
import { Tally } from '../net/tally.ts';
import type { Gate } from './gate.ts';
import { Line, type Parked, type WaitingUser } from './line.ts';
import { joinSockets } from './pipe.ts';
import type { RelayMetrics } from './relay-metrics.ts';

/** Milliseconds that a user waits for the next socket of a VM that was here a moment ago. */
const WAIT_MS = 5_000;
const A_MOMENT_MS = 30_000;
const MAX_WAITING_PER_VM = 8;
/** Of a VM's places, so that one person does not keep the others out. */
const SHARE_OF_ONE = 1 / 4;
const PROTOCOL_ERROR = 1002; // RFC 6455 7.4.1
const PAIRED = JSON.stringify({ type: 'paired' });
const PARKED = JSON.stringify({ type: 'parked' });

export interface RelayLimits {
  idlePerVm: number;
  /** Of all VMs of one account. */
  idlePerOwner: number;
  /** A person may have a quarter of them; the VM's owner may that also when the others have all. */
  pairedPerVm: number;
  /** Paired and waiting. */
  pairedPerUser: number;
}

export interface RelayDeps {
  gate: Pick<Gate, 'admitVm'>;
  heartbeat: Heartbeat;
  limits: RelayLimits;
  metrics: RelayMetrics;
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
  /** By VM; those that have been empty for a while are swept away. */
  readonly #lines = new Map<string, Line>();
  /** Sockets of each user, waiting ones included; parked sockets of each owner. */
  readonly #ofUser = new Tally();
  readonly #ofOwner = new Tally();
  /** Of each user at each VM. */
  readonly #ofUserAtVm = new Tally();
  readonly #sweep: NodeJS.Timeout;

  constructor(deps: RelayDeps) {
    this.#deps = deps;
    this.#sweep = setInterval(() => this.#forgetEmptyLines(), A_MOMENT_MS);
    this.#sweep.unref();
  }

  close(): void {
    clearInterval(this.#sweep);
  }

  /** A socket of this VM waits here. */
  isReady(vmId: string): boolean {
    return this.#lines.get(vmId)?.ready === true;
  }

  /** The VMs of which a socket waits here. */
  readyVms(): string[] {
    return [...this.#lines].filter(([, line]) => line.ready).map(([vmId]) => vmId);
  }

  /** @param known called when the socket has proven who it is. */
  acceptVm(socket: WebSocket, known: () => void): void {
    this.#captureAll(socket);
    demandProof(socket, {
      answer: vmToRelaySchema,
      check: ({ pass, signature }, challenge) => this.#deps.gate.admitVm(pass, challenge, signature),
      proven: (pass) => {
        known();
        this.#park(socket, pass);
      },
      refused: () => this.#deps.metrics.refused('pass'),
    });
  }

  /** The caller has checked the user's ticket for this VM. */
  acceptUser(socket: WebSocket, userId: string, vmId: string): void {
    const { limits, metrics } = this.#deps;
    metrics.accepted('user');
    this.#captureAll(socket);
    socket.pause(); // what it says is for the VM, once there is one
    const line = this.#lines.get(vmId);
    if (line === undefined) {
      this.#turnAway(socket, 'noVmParked');
      return;
    }
    const here = `${vmId} ${userId}`;
    const isCrowded = userId !== line.ownerId && line.paired.size >= limits.pairedPerVm;
    const hasShare = this.#ofUserAtVm.of(here) >= Math.max(1, Math.floor(limits.pairedPerVm * SHARE_OF_ONE));
    if (isCrowded || hasShare || this.#ofUser.of(userId) >= limits.pairedPerUser) {
      this.#turnAway(socket, 'limit');
      return;
    }
    socket.once('close', this.#ofUser.add(userId));
    socket.once('close', this.#ofUserAtVm.add(here));
    this.#serve(line, { socket, userId, vmId });
  }

  /** Cuts all sockets of a VM that is no more. */
  drop(vmId: string): void {
    for (const socket of this.#lines.get(vmId)?.sockets() ?? []) socket.terminate();
    this.#lines.delete(vmId);
  }

  #turnAway(socket: WebSocket, why: 'noVmParked' | 'limit'): void {
    this.#deps.metrics.refused(why === 'limit' ? 'full' : 'not_parked');
    closeSoon(socket, RELAY_CLOSE[why]);
  }

  #captureAll(socket: WebSocket): void {
    const { capture } = this.#deps;
    if (capture !== undefined) socket.on('message', (data: RawData) => capture(data as Buffer));
  }

  #park(socket: WebSocket, { vmId, ownerId }: Pass): void {
    const { limits, metrics } = this.#deps;
    metrics.accepted('vm');
    if (this.#ofOwner.of(ownerId) >= limits.idlePerOwner) {
      this.#turnAway(socket, 'limit');
      return;
    }
    const line = this.#lines.get(vmId) ?? new Line();
    line.ownerId = ownerId;
    this.#lines.set(vmId, line);
    // While it is parked it has nothing to say.
    const tooEarly = () => closeSoon(socket, PROTOCOL_ERROR);
    const forget = this.#ofOwner.add(ownerId);
    const gone = () => {
      forget();
      if (line.forget(parked)) metrics.parked--;
    };
    const parked: Parked = {
      socket,
      takeOff() {
        socket.off('message', tooEarly);
        socket.off('close', gone);
        forget();
        metrics.parked--;
      },
    };
    socket.on('message', tooEarly);
    socket.once('close', gone);
    // Each text leaves before the next is written: two in one TLS record reach the VM in one event, but it pauses
    // its socket after each and would miss the second.
    socket.send(PARKED, () => {
      if (socket.readyState !== socket.OPEN) return;
      metrics.parked++;
      const tooMany = line.park(parked, performance.now(), limits.idlePerVm);
      if (tooMany !== undefined) {
        tooMany.takeOff();
        this.#turnAway(tooMany.socket, 'limit');
      }
    });
    this.#deps.heartbeat.watch(socket);
  }

  #serve(line: Line, user: User): void {
    const parked = line.take();
    if (parked !== undefined) this.#pair(line, parked, user);
    else if (line.idleSince(performance.now()) > A_MOMENT_MS) this.#turnAway(user.socket, 'noVmParked');
    else if (line.waiting >= MAX_WAITING_PER_VM) this.#turnAway(user.socket, 'limit');
    else this.#wait(line, user);
  }

  #wait(line: Line, user: User): void {
    const { metrics } = this.#deps;
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
      metrics.waiting--;
    };
    const timer = setTimeout(() => {
      leave();
      this.#turnAway(user.socket, 'noVmParked');
    }, WAIT_MS);
    user.socket.once('close', leave);
    line.wait(waiting);
    metrics.waiting++;
  }

  #pair(line: Line, parked: Parked, user: User): void {
    const vm = parked.socket;
    line.paired.add(vm);
    vm.once('close', () => line.paired.delete(vm));
    parked.takeOff();
    vm.pause();
    vm.send(PAIRED, () => {
      if (user.socket.readyState !== user.socket.OPEN) closeSoon(vm, 1000);
      else if (vm.readyState !== vm.OPEN)
        this.#serve(line, user); // it was dead: perhaps the next is not
      else {
        user.socket.send(PAIRED);
        this.#join(vm, user);
      }
    });
  }

  #join(vm: WebSocket, user: User): void {
    const { heartbeat, metrics, paired } = this.#deps;
    const userPulse = heartbeat.watch(user.socket);
    const vmPulse = heartbeat.pulse(vm);
    metrics.paired++;
    vm.once('close', () => metrics.paired--);
    joinSockets(
      { socket: vm, pulse: vmPulse, flow: metrics.toVm },
      { socket: user.socket, pulse: userPulse, flow: metrics.toUser },
    );
    vm.resume();
    user.socket.resume();
    paired?.(user.userId, user.vmId);
  }

  #forgetEmptyLines(): void {
    const now = performance.now();
    for (const [vmId, line] of this.#lines)
      if (line.empty && line.idleSince(now) > A_MOMENT_MS) this.#lines.delete(vmId);
  }
}
