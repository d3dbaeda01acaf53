/** `bench drives`: drives through vmc against the same commands by hand, in a real VM. */
import { LAB_PACKAGES } from '../../lab/setup.ts';
import type { Figures } from '../statistics.ts';
import type { Suite } from '../suite.ts';
import { files } from './files.ts';
import { fio, PATTERN_NAMES, type Pattern } from './fio.ts';
import { steps } from './steps.ts';

export const drivesSuite: Suite = {
  name: 'drives',
  packages: LAB_PACKAGES,
  services: [],
  measurements: [files, steps, fio],
  figures: [
    'formatRatio',
    'openMountRatio',
    'closeRatio',
    'openMountSeconds',
    ...PATTERN_NAMES.map((pattern) => `fioToLuksByHand.${pattern}`),
  ],
  rows: ['pattern', 'target'],
  derive: (medians) => ({
    formatRatio: ratio(medians['formatMs.ours'], medians['formatMs.byHand']),
    openMountRatio: ratio(medians['openMountMs.ours'], medians['openMountMs.byHand']),
    closeRatio: ratio(medians['closeMs.ours'], medians['closeMs.byHand']),
    openMountSeconds: ratio(medians['openMountMs.ours'], 1000),
    ...Object.fromEntries(
      PATTERN_NAMES.map((pattern) => [
        `fioToLuksByHand.${pattern}`,
        ratio(speed(medians, pattern, 'ours'), speed(medians, pattern, 'luksByHand')),
      ]),
    ),
    ...Object.fromEntries(
      PATTERN_NAMES.map((pattern) => [
        `fioToPlain.${pattern}`,
        ratio(speed(medians, pattern, 'ours'), speed(medians, pattern, 'plain')),
      ]),
    ),
  }),
  goals: [
    { figure: 'formatRatio', atMost: 1.15 },
    { figure: 'openMountRatio', atMost: 1.15 },
    { figure: 'closeRatio', atMost: 1.15 },
    { figure: 'openMountSeconds', atMost: 1.5 },
    ...PATTERN_NAMES.map((pattern) => ({ figure: `fioToLuksByHand.${pattern}`, atLeast: 0.95 })),
  ],
};

const speed = (medians: Figures, pattern: Pattern, target: string) => medians[`rows.${pattern}.${target}.MBps`];

const ratio = (a: number | undefined, b: number | undefined): number | undefined =>
  a === undefined || b === undefined ? undefined : a / b;
