/**
 * A socket that is parked at a relay which was not the first choice: looks now and then whether a better one is back, parks there,
 * and only then gives the old place up. Sockets that are paired are not touched: they end when their users end them.
 */
import type { WebSocket } from 'ws';
import type { ParkedSocket } from './relay-client.ts';

/** Between half of it and one and a half: a relay that comes back is not met by all VMs at once. */
const LOOK_EVERY_MS = 60_000;

export interface FollowOptions {
  random: () => number;
  lookEveryMs?: number;
}

/** @param better parks at each better relay, best first. */
export function followBetter(
  first: ParkedSocket,
  better: readonly ((signal: AbortSignal) => Promise<ParkedSocket>)[],
  { random, lookEveryMs = LOOK_EVERY_MS }: FollowOptions,
): ParkedSocket {
  const over = new AbortController();
  const { promise, resolve, reject } = Promise.withResolvers<WebSocket>();
  let current = first;
  let timer: NodeJS.Timeout | undefined;

  const follow = (parked: ParkedSocket) => {
    current = parked;
    parked.paired.then(
      (socket) => {
        if (over.signal.aborted) return socket.terminate();
        end();
        resolve(socket);
      },
      (error: unknown) => {
        if (current !== parked) return; // we left it
        end();
        reject(error);
      },
    );
  };
  const end = () => {
    clearTimeout(timer);
    over.abort();
  };
  const look = async (left: typeof better) => {
    for (const [at, park] of left.entries()) {
      const found = await park(over.signal).catch(() => undefined);
      if (found === undefined) continue;
      if (over.signal.aborted) {
        // A user came at the old place meanwhile.
        found.paired.catch(() => {});
        found.close();
        return;
      }
      const old = current;
      follow(found);
      old.close();
      plan(left.slice(0, at));
      return;
    }
    plan(left);
  };
  const plan = (left: typeof better) => {
    if (left.length === 0 || over.signal.aborted) return;
    timer = setTimeout(() => void look(left), lookEveryMs * (0.5 + random()));
  };

  follow(first);
  plan(better);
  return {
    paired: promise,
    close() {
      end();
      current.close();
    },
  };
}
