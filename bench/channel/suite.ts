/** `bench channel`: the channel by itself, and against what people use today. */
import { BENCH_PACKAGES } from '../../lab/setup.ts';
import type { Suite } from '../suite.ts';
import { handshakes } from './handshakes.ts';
import { memory } from './memory.ts';
import { parked } from './parked.ts';
import { relay } from './relay.ts';
import { ssh } from './ssh.ts';
import { wss } from './wss.ts';

export const channelSuite: Suite = {
  name: 'channel',
  packages: BENCH_PACKAGES,
  services: ['ssh.service'],
  measurements: [handshakes, memory, relay, wss, ssh, parked],
  figures: [
    'vmcHandshakesPerSecond',
    'deviceHandshakesPerSecond',
    'memoryGbps',
    'relayGbps',
    'wssGbps',
    'sshGbps',
    'relayToWss',
    'parkedBytesEach',
  ],
  derive: ({ relayGbps, relayPlainGbps, wssGbps, sshGbps }) => ({
    relayToWss: ratio(relayGbps, wssGbps),
    relayToPlainRelay: ratio(relayGbps, relayPlainGbps),
    relayToSsh: ratio(relayGbps, sshGbps),
  }),
  goals: [
    { figure: 'vmcHandshakesPerSecond', atLeast: 1000 },
    { figure: 'relayToWss', atLeast: 0.5 },
    { figure: 'parkedBytesEach', atMost: 60 * 1024 },
  ],
};

const ratio = (a: number | undefined, b: number | undefined): number | undefined =>
  a === undefined || b === undefined ? undefined : a / b;
