/** Format, open with mount, and close: through vmc, as a person's device asks for it, and by hand in the VM. */
import { randomBytes } from 'node:crypto';
import { byFigure, type Figures, median } from '../statistics.ts';
import type { Measurement } from '../suite.ts';
import { benchVm } from './bench-vm.ts';
import { byHand, makeKeyFile } from './by-hand.ts';

/** In a round: something else in the VM disturbs one of them now and then. */
const TIMES = 3;

export const steps: Measurement = {
  name: 'steps',
  async start(site) {
    const { vm, control, addDrive } = await benchVm(site);
    const [ours, theirs] = [await addDrive('ours'), await addDrive('by-hand')];
    await makeKeyFile(vm);
    const key = randomBytes(32).toString('base64');
    const { driveId } = ours;
    const hand = { device: theirs.device, name: 'by-hand' };
    const blank = (device: string) => vm.exec(['blkdiscard', '--force', device]);

    const oursRound = async () => {
      await blank(ours.device);
      const format = (await control.call('driveFormat', { driveId, key })).ms;
      const opened = await control.call<{ state: string }>('driveOpen', { driveId, key, name: 'ours' });
      if (opened.result.state !== 'mounted') throw new Error(`the drive is ${opened.result.state}`);
      const close = (await control.call('driveClose', { driveId })).ms;
      return { 'formatMs.ours': format, 'openMountMs.ours': opened.ms, 'closeMs.ours': close };
    };
    const byHandRound = async () => {
      await blank(theirs.device);
      return {
        'formatMs.byHand': await byHand(vm, 'format', hand),
        'openMountMs.byHand': await byHand(vm, 'open', hand),
        'closeMs.byHand': await byHand(vm, 'close', hand),
      };
    };

    let round = 0;
    const both = async () => {
      if (round % 2 === 1) return { ...(await oursRound()), ...(await byHandRound()) };
      return { ...(await byHandRound()), ...(await oursRound()) };
    };
    return async () => {
      round++;
      await both(); // what was measured before has driven programs from the page cache, and code from QEMU's
      const times: Figures[] = [];
      for (let i = 0; i < TIMES; i++) times.push(await both());
      return Object.fromEntries(Object.entries(byFigure(times)).map(([name, values]) => [name, median(values)]));
    };
  },
};
