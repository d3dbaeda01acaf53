/** Format, open with mount, and close: through vmc, as a person's device asks for it, and by hand in the VM. */
import { randomBytes } from 'node:crypto';
import type { Measurement } from '../suite.ts';
import { benchVm } from './bench-vm.ts';
import { byHand, makeKeyFile } from './by-hand.ts';

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
      round++;
      if (round % 2 === 1) return { ...(await oursRound()), ...(await byHandRound()) };
      return { ...(await byHandRound()), ...(await oursRound()) };
    };
    for (let i = 0; i < 2; i++) await both(); // programs in the page cache, code compiled
    return both;
  },
};
