/** The sockets of one VM at the relay: those that wait for a user, and the users that wait for one of them. */
import type { WebSocket } from 'ws';

export interface Parked {
  socket: WebSocket;
  /** It waits no longer: from here on it may speak. */
  takeOff(): void;
}

export interface WaitingUser {
  /** A socket of the VM has just been parked. */
  wake(): void;
}

export class Line {
  /** The newest last: it is the likeliest to be alive. */
  readonly #parked: Parked[] = [];
  readonly #waiting = new Set<WaitingUser>();
  /** The VM's end of each pair. */
  readonly paired = new Set<WebSocket>();
  /** User id of who owns the VM, as its latest pass says. */
  ownerId: string | undefined;
  #lastParkedAt = Number.NEGATIVE_INFINITY;

  get ready(): boolean {
    return this.#parked.length > 0;
  }

  get empty(): boolean {
    return this.#parked.length + this.#waiting.size + this.paired.size === 0;
  }

  get waiting(): number {
    return this.#waiting.size;
  }

  /** Milliseconds since a socket was parked. */
  idleSince(now: number): number {
    return now - this.#lastParkedAt;
  }

  /** @returns the oldest when there are now more than `max`: it has to go. */
  park(parked: Parked, now: number, max: number): Parked | undefined {
    this.#lastParkedAt = now;
    this.#parked.push(parked);
    for (const user of this.#waiting) {
      user.wake();
      break; // first come, first served
    }
    return this.#parked.length > max ? this.#parked.shift() : undefined;
  }

  take(): Parked | undefined {
    return this.#parked.pop();
  }

  /** @returns whether it was waiting here. */
  forget(parked: Parked): boolean {
    const at = this.#parked.indexOf(parked);
    if (at >= 0) this.#parked.splice(at, 1);
    return at >= 0;
  }

  wait(user: WaitingUser): void {
    this.#waiting.add(user);
  }

  leave(user: WaitingUser): void {
    this.#waiting.delete(user);
  }

  /** All sockets of the VM, to be cut. */
  sockets(): WebSocket[] {
    return [...this.#parked.map((parked) => parked.socket), ...this.paired];
  }
}
