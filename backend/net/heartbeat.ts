/** Finds dead websockets: one timer for all of them, however many thousand are parked. */
import type { WebSocket } from 'ws';

export interface Pulse {
  /** Something was sent to it: it may be slow for a while to answer a ping that waits behind that. */
  sent(): void;
}

interface Watched {
  heardAt: number;
  /** Messages sent so far, and how many of them came before the last ping that was answered. */
  sent: number;
  read: number;
}

export interface HeartbeatTimes {
  /** Milliseconds between pings. */
  every: number;
  /** Without an answer for so long it is dead (C1: shown within 30 s). */
  deadAfter: number;
  /** The same while it has unread messages of ours: it may be applying back-pressure, which is not death. */
  deadAfterUnread: number;
}

/** With these, at most 30 s (C1). */
export const HEARTBEAT: HeartbeatTimes = { every: 8_000, deadAfter: 20_000, deadAfterUnread: 300_000 };

export class Heartbeat {
  readonly #sockets = new Map<WebSocket, Watched>();
  readonly #times: HeartbeatTimes;
  readonly #timer: NodeJS.Timeout;
  /** Sockets found dead since the start. */
  lost = 0;

  constructor(times: HeartbeatTimes = HEARTBEAT) {
    this.#times = times;
    this.#timer = setInterval(() => this.#beat(), times.every);
    this.#timer.unref();
  }

  /** Until it closes. */
  watch(socket: WebSocket): Pulse {
    const watched: Watched = { heardAt: performance.now(), sent: 0, read: 0 };
    this.#sockets.set(socket, watched);
    socket.on('pong', (data) => {
      watched.heardAt = performance.now();
      watched.read = Number(data.toString('latin1')) || 0; // what the ping carried
    });
    socket.once('close', () => this.#sockets.delete(socket));
    return this.pulse(socket);
  }

  /** Of a socket that is watched. */
  pulse(socket: WebSocket): Pulse {
    const watched = this.#sockets.get(socket);
    return {
      sent: () => {
        if (watched !== undefined) watched.sent++;
      },
    };
  }

  close(): void {
    clearInterval(this.#timer);
  }

  #beat(): void {
    const now = performance.now();
    for (const [socket, watched] of this.#sockets) {
      if (socket.isPaused) watched.heardAt = now; // it is us who do not read
      const limit = watched.sent > watched.read ? this.#times.deadAfterUnread : this.#times.deadAfter;
      if (now - watched.heardAt > limit) {
        this.lost++;
        socket.terminate();
      } else if (socket.readyState === socket.OPEN) socket.ping(String(watched.sent));
    }
  }
}
