/** B1: what slow readers make a process hold back is shared among streams that are there, not among those that ever were. */
import { once } from 'node:events';
import { Duplex } from 'node:stream';
import t from 'tap';
import { join } from '../../../shared/net/join.ts';

const RECORD = Buffer.alloc(16 * 1024);

/** Says as much as anybody takes, and takes nothing; no more than 4 MiB. */
class Talker extends Duplex {
  said = 0;

  override _read(): void {
    if (this.said >= 4 * 1024 * 1024) return;
    this.said += RECORD.length;
    setImmediate(() => this.push(RECORD));
  }

  override _write(): void {}
}

const wire = (stream: Duplex) => ({ stream, cut: () => void stream.destroy() });

/** How much one stream alone holds back for a reader that reads nothing. */
async function heldBack(): Promise<number> {
  const [from, to] = [new Talker(), new Talker()];
  const joined = join(wire(from), wire(to));
  await once(from, 'pause');
  const held = to.writableLength;
  from.destroy();
  to.destroy();
  await joined;
  return held;
}

t.test('streams that had closed before they were joined count for nothing', async (t) => {
  const before = await heldBack();
  for (let i = 0; i < 2000; i++) {
    const [from, to] = [new Talker(), new Talker()];
    to.destroy();
    await once(to, 'close');
    await join(wire(from), wire(to));
  }
  t.equal(await heldBack(), before);
});
