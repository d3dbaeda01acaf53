/** `bench tunnel`: the tunnel against what people use today. Up is from the device to the VM, down from the VM to the device. */
import { TUNNEL_BENCH_PACKAGES } from '../../lab/setup.ts';
import type { Site } from '../site.ts';
import type { Figures } from '../statistics.ts';
import type { Suite } from '../suite.ts';
import { bulk, rowFigure } from './bulk.ts';
import { delayed } from './delayed.ts';
import { startLoad } from './load.ts';
import type { Direction } from './load-wire.ts';
import { idleStreams, streamsInARow } from './many-streams.ts';
import { newStreams } from './new-streams.ts';
import { ours } from './our-peer.ts';
import type { Peer } from './peer.ts';
import { haproxy, stunnel } from './proxy-peer.ts';
import { sshDefault, sshGcm } from './ssh-peer.ts';

/** No tunnel: what the load itself can do. */
const raw = async (site: Site): Promise<Peer> => ({
  port: (await startLoad(site)).servicePort,
  server: [],
  client: [],
});

export const tunnelSuite: Suite = {
  name: 'tunnel',
  packages: TUNNEL_BENCH_PACKAGES,
  services: ['ssh.service', 'haproxy.service'],
  measurements: [
    ...bulk({ raw, 'ssh-gcm': sshGcm, 'ssh-default': sshDefault, stunnel, haproxy, ours }),
    newStreams,
    delayed,
    idleStreams,
    streamsInARow,
  ],
  figures: [
    'ratioToSsh.up',
    'ratioToSsh.down',
    'ratioToSsh.up8',
    'ratioToSsh.down8',
    'serverCpuRatioToSsh.up',
    'serverCpuRatioToSsh.down',
    'firstByteMs.ours',
    'firstByteMs.ssh',
    'newStreamsPerSecond',
    'idleStreamBytesEach',
    'delayed.oursMbps',
    'delayed.sshMbps',
  ],
  rows: ['peer', 'streams', 'direction'],
  derive: (medians) => ({
    'ratioToSsh.up': faster(medians, 1, 'up'),
    'ratioToSsh.down': faster(medians, 1, 'down'),
    'ratioToSsh.up8': faster(medians, 8, 'up'),
    'ratioToSsh.down8': faster(medians, 8, 'down'),
    'serverCpuRatioToSsh.up': cheaper(medians, 1, 'up'),
    'serverCpuRatioToSsh.down': cheaper(medians, 1, 'down'),
    firstByteToSsh: ratio(medians['firstByteMs.ours'], medians['firstByteMs.ssh']),
    'delayed.oursMbps': lower(medians.delayedOursUpMbps, medians.delayedOursDownMbps),
    'delayed.sshMbps': lower(medians.delayedSshUpMbps, medians.delayedSshDownMbps),
  }),
  goals: [
    { figure: 'ratioToSsh.up', atLeast: 1 },
    { figure: 'ratioToSsh.down', atLeast: 1 },
    { figure: 'ratioToSsh.up8', atLeast: 1 },
    { figure: 'ratioToSsh.down8', atLeast: 1 },
    { figure: 'serverCpuRatioToSsh.up', atLeast: 1 },
    { figure: 'serverCpuRatioToSsh.down', atLeast: 1 },
    { figure: 'firstByteToSsh', atMost: 1.5 },
  ],
};

/** Our throughput over that of OpenSSH with AES-256-GCM: 1 or more is as fast or faster. */
const faster = (medians: Figures, streams: number, direction: Direction): number | undefined =>
  ratio(
    medians[rowFigure('ours', streams, direction, 'gbps')],
    medians[rowFigure('ssh-gcm', streams, direction, 'gbps')],
  );

/** Its CPU time for a GB at the VM's end over ours: 1 or more is as cheap or cheaper. */
const cheaper = (medians: Figures, streams: number, direction: Direction): number | undefined =>
  ratio(
    medians[rowFigure('ssh-gcm', streams, direction, 'serverCpuPerGB')],
    medians[rowFigure('ours', streams, direction, 'serverCpuPerGB')],
  );

const ratio = (a: number | undefined, b: number | undefined): number | undefined =>
  a === undefined || b === undefined ? undefined : a / b;

/** The slower of the two directions. */
const lower = (up: number | undefined, down: number | undefined): number | undefined =>
  up === undefined || down === undefined ? undefined : Math.min(up, down);
