/** The records of an open channel, sealed as a peer that has the keys and no manners would seal them. */
import { createCipheriv } from 'node:crypto';
import { concatBytes } from '../../../shared/bytes.ts';
import { nextSecret, recordKey } from '../../../shared/channel/key-schedule.ts';
import { MAX_MESSAGE, RECORD_OVERHEAD } from '../../../shared/channel/limits.ts';
import { RecordOpener } from '../../../shared/channel/records.ts';
import { native } from '../../../shared/identity/native.ts';
import { asRefusal, insist, type Target, type Verdict } from '../target.ts';

// A script of what the peer sends:
//   0  1  how: 0 as it is, 1 sealed rightly, 2 sealed with the wrong number, 3 take the next key and seal, 4 send twice
//   1  1  type   2  1  flags   3  1  how long: 0 to 250 bytes, 251 to 255 about 64 KiB
const STEP = 4;
const LONG = [65_535, 65_536, 65_537, 65_518, 131_072];
const MAX_STEPS = 64;
const SECRET = new Uint8Array(32).fill(7);
const LIMITS = { records: 6, bytes: 5 * 65_536 };

class Peer {
  #secret: Uint8Array = SECRET.slice();
  #number = 0n;

  async update(): Promise<void> {
    this.#secret = await nextSecret(native, this.#secret);
    this.#number = 0n;
  }

  async seal(header: Uint8Array, body: Uint8Array, skip: bigint): Promise<Uint8Array> {
    const { key, iv } = await recordKey(native, this.#secret);
    const nonce = iv.slice();
    const view = new DataView(nonce.buffer, nonce.byteOffset);
    view.setBigUint64(4, view.getBigUint64(4) ^ (this.#number + skip));
    this.#number += 1n;
    const cipher = createCipheriv('aes-256-gcm', key, nonce, { authTagLength: 16 }).setAAD(header);
    return concatBytes(header, cipher.update(body), cipher.final(), cipher.getAuthTag());
  }
}

async function play(script: Uint8Array): Promise<Verdict> {
  const opener = await RecordOpener.start(native, SECRET.slice(), LIMITS);
  const peer = new Peer();
  let refusal: Verdict | undefined;
  let pending = 0;
  for (let at = 0; at + STEP <= script.length && at < STEP * MAX_STEPS; at += STEP) {
    const [how = 0, type = 0, flags = 0, size = 0] = script.subarray(at, at + STEP);
    const header = Uint8Array.of(type, flags);
    const body = new Uint8Array(size <= 250 ? size : (LONG[size - 251] ?? 0)).fill(size);
    if (how === 3) await peer.update();
    const record = how === 0 ? concatBytes(header, body) : await peer.seal(header, body, how === 2 ? 1n : 0n);
    for (const sent of how === 4 ? [record, record] : [record])
      try {
        const opened = await opener.open(sent);
        insist(refusal === undefined, 'after a record that was refused none is opened');
        insist(how !== 0 && how !== 2 && sent.length >= RECORD_OVERHEAD, 'only what was sealed in turn is opened');
        pending += opened.kind === 'close' ? 0 : body.length;
        if (opened.kind === 'message') {
          insist(opened.message.length === pending && pending <= MAX_MESSAGE, 'a message is as long as what was sent');
          pending = 0;
        }
        if (opened.kind === 'close') refusal = 'accepted';
      } catch (error) {
        const { what } = error as { what?: string };
        const refused: Verdict = `refused:${asRefusal(error).slice('refused:'.length)} ${what}`;
        insist(refusal === undefined || what === 'over', `after the end the answer is ${what}`);
        refusal ??= refused;
      }
  }
  return refusal ?? 'accepted';
}

const script = (...steps: number[][]) => Uint8Array.from(steps.flat());
const data = [1, 17, 0, 5];
const part = [1, 17, 1, 252];

export const recordTargets: Target[] = [
  {
    name: 'channel/records',
    from: 'peer',
    form: 'bytes',
    weight: 0,
    maxBytes: STEP * MAX_STEPS,
    open: () => ({
      seeds: [
        script(data, data, [1, 19, 0, 0]),
        script(part, part, data),
        script(data, data, data, data, data, data, [1, 18, 0, 0], [3, 17, 0, 9]),
        script([1, 18, 0, 0]),
        script(data, [0, 17, 0, 30], data),
        script(...Array<number[]>(4).fill(part), data, [1, 18, 0, 0], [3, 17, 0, 251]),
        script([1, 16, 0, 32]),
      ],
      run: play,
    }),
  },
];
