/** New streams: the time to the first byte of one, and how many there can be in a second. Through ssh: its one connection. */
import { median } from '../statistics.ts';
import type { Measurement } from '../suite.ts';
import { churn, startLoad } from './load.ts';
import { ours } from './our-peer.ts';
import { sshGcm } from './ssh-peer.ts';

const SAMPLES_A_SECOND = 100;
/** Between two streams, as between two clicks of a user, only shorter: what is got ready in the background can be. */
const PAUSE_MS = 20;
const STREAMS_A_SECOND = 400;
const AT_ONCE = 8;

export const newStreams: Measurement = {
  name: 'new-streams',
  async start(site) {
    const load = await startLoad(site);
    const { seconds } = site.settings;
    const measure = async (port: number): Promise<{ firstByteMs: number; perSecond: number }> => {
      const count = Math.ceil(seconds * SAMPLES_A_SECOND);
      const quiet = await churn(load, { ports: [port], count, atOnce: 1, pauseMs: PAUSE_MS });
      const many = Math.ceil(seconds * STREAMS_A_SECOND);
      const busy = await churn(load, { ports: [port], count: many, atOnce: AT_ONCE, pauseMs: 0 });
      return { firstByteMs: median(quiet.milliseconds), perSecond: many / busy.seconds };
    };
    const peers = { ours: await ours(site), ssh: await sshGcm(site) };
    for (const { port } of Object.values(peers)) await measure(port);
    return async () => {
      const our = await measure(peers.ours.port);
      const ssh = await measure(peers.ssh.port);
      return {
        'firstByteMs.ours': our.firstByteMs,
        'firstByteMs.ssh': ssh.firstByteMs,
        newStreamsPerSecond: our.perSecond,
        sshNewStreamsPerSecond: ssh.perSecond,
      };
    };
  },
};
