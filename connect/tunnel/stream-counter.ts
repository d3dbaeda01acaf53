/** How much has gone through a local port: read off its sockets, so that no byte costs anything. */
import type { Socket } from 'node:net';

export interface StreamCounts {
  open: number;
  /** To the VM. */
  bytesUp: number;
  bytesDown: number;
}

export class StreamCounter {
  readonly #open = new Set<Socket>();
  #bytesUp = 0;
  #bytesDown = 0;

  watch(socket: Socket): void {
    this.#open.add(socket);
    socket.once('close', () => {
      this.#open.delete(socket);
      this.#bytesUp += socket.bytesRead;
      this.#bytesDown += socket.bytesWritten;
    });
  }

  counts(): StreamCounts {
    let [bytesUp, bytesDown] = [this.#bytesUp, this.#bytesDown];
    for (const { bytesRead, bytesWritten } of this.#open) {
      bytesUp += bytesRead;
      bytesDown += bytesWritten;
    }
    return { open: this.#open.size, bytesUp, bytesDown };
  }
}
