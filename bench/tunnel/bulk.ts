/** Throughput of one peer and its CPU time at both ends: one stream and eight, up (device → VM) and down. */
import { gbps, transferBytes } from '../pattern.ts';
import type { Site } from '../site.ts';
import type { Measurement } from '../suite.ts';
import { startLoad, transfer } from './load.ts';
import type { Direction } from './load-wire.ts';
import type { Peer } from './peer.ts';

type StartPeer = (site: Site) => Promise<Peer>;

interface Case {
  streams: number;
  direction: Direction;
}

const CASES: readonly Case[] = [
  { streams: 1, direction: 'up' },
  { streams: 1, direction: 'down' },
  { streams: 8, direction: 'up' },
  { streams: 8, direction: 'down' },
];

/** A GiB for each second wanted: about a second at the speed of these peers. */
const GIB_A_SECOND = 4;
const WARM_UP_PART = 0.25;

/** Name of one figure of the rows in the report. */
export const rowFigure = (peer: string, streams: number, direction: Direction, figure: string): string =>
  `rows.${peer}.${streams}.${direction}.${figure}`;

/**
 * All peers in each case, one after another, before the next case: what is compared was measured within seconds.
 * @param peers by name, in this order.
 */
export function bulk(peers: Readonly<Record<string, StartPeer>>): Measurement[] {
  return CASES.flatMap((it) => Object.entries(peers).map(([name, start]) => bulkCase(name, start, it)));
}

function bulkCase(name: string, start: StartPeer, { streams, direction }: Case): Measurement {
  return {
    name,
    async start(site) {
      const load = await startLoad(site);
      const peer = await start(site);
      const bytes = Math.ceil(transferBytes(site.settings.seconds * GIB_A_SECOND) / streams);
      await transfer(load, peer, { streams, direction, bytes: Math.ceil(bytes * WARM_UP_PART), hashed: true });
      const figure = (what: string) => rowFigure(name, streams, direction, what);
      return async () => {
        const { seconds, cpu } = await transfer(load, peer, { streams, direction, bytes });
        const total = bytes * streams;
        return {
          [figure('gbps')]: gbps(total, seconds),
          [figure('serverCpuPerGB')]: cpu.server / (total / 1e9),
          [figure('clientCpuPerGB')]: cpu.client / (total / 1e9),
        };
      };
    },
  };
}
