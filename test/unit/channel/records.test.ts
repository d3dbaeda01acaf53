import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import t from 'tap';
import { concatBytes, equalBytes } from '../../../shared/bytes.ts';
import { nextSecret, recordKey } from '../../../shared/channel/key-schedule.ts';
import { KEY_LIMITS, type KeyLimits, MAX_MESSAGE, MAX_RECORD_PLAINTEXT } from '../../../shared/channel/limits.ts';
import { RecordOpener, RecordRefused, RecordSealer } from '../../../shared/channel/records.ts';
import { native } from '../../../shared/identity/native.ts';
import { portable } from '../../../shared/identity/portable.ts';
import { flipped, IMPLEMENTATIONS, PAIRINGS } from './peers.ts';

const SECRET = new Uint8Array(32).fill(5);
const small: KeyLimits = { records: 4, bytes: MAX_RECORD_PLAINTEXT };

const newSealer = (limits = KEY_LIMITS, cryptography: typeof native | typeof portable = native) =>
  RecordSealer.start(cryptography, SECRET.slice(), limits);
const newOpener = (limits = KEY_LIMITS, cryptography: typeof native | typeof portable = native) =>
  RecordOpener.start(cryptography, SECRET.slice(), limits);

/** What a peer that breaks the rules could send: any header, any body, under the true key. */
async function hostile(
  type: number,
  flags: number,
  body: Uint8Array,
  number = 0,
  secret: Uint8Array = SECRET,
): Promise<Uint8Array> {
  const { key, iv } = await recordKey(native, secret);
  iv[11] = (iv[11] ?? 0) ^ number;
  return native.aesGcm(key).seal(iv, Uint8Array.of(type, flags), body);
}
const [CONFIRMATION, DATA, UPDATE, CLOSE] = [16, 17, 18, 19];
const FULL: Uint8Array = new Uint8Array(MAX_RECORD_PLAINTEXT);
const NOTHING: Uint8Array = new Uint8Array(0);

/** All records of some messages. */
async function sealAll(sealer: RecordSealer, ...messages: Uint8Array[]): Promise<Uint8Array[]> {
  const records: Uint8Array[] = [];
  for (const message of messages) for await (const record of sealer.message(message)) records.push(record);
  return records;
}

/** Opens records in turn. @returns the messages, then 'close' or the refusal, if one came. */
async function openAll(opener: RecordOpener, records: Iterable<Uint8Array>): Promise<(Uint8Array | string)[]> {
  const out: (Uint8Array | string)[] = [];
  try {
    for (const record of records) {
      const opened = await opener.open(record);
      if (opened.kind === 'message') out.push(opened.message);
      if (opened.kind === 'close') out.push('close');
    }
  } catch (error) {
    out.push(error instanceof RecordRefused ? error.what : String(error));
  }
  return out;
}
const openFresh = async (records: Iterable<Uint8Array>, limits = KEY_LIMITS) =>
  openAll(await newOpener(limits), records);

const edge = fc.constantFrom(
  0,
  1,
  MAX_RECORD_PLAINTEXT - 1,
  MAX_RECORD_PLAINTEXT,
  MAX_RECORD_PLAINTEXT + 1,
  MAX_MESSAGE,
);
const messageLength = fc.oneof(fc.nat({ max: 200_000 }), edge);

for (const [name, { initiator, responder }] of PAIRINGS)
  t.test(`messages of every length come back whole, ${name}`, async (t) => {
    await fc.assert(
      fc.asyncProperty(fc.array(messageLength, { maxLength: 3 }), fc.boolean(), async (lengths, often) => {
        const sealer = await newSealer(often ? small : KEY_LIMITS, initiator as typeof native);
        const opener = await newOpener(often ? small : KEY_LIMITS, responder as typeof native);
        const messages = lengths.map((size) => new Uint8Array(randomBytes(size)));
        const records = await sealAll(sealer, ...messages);
        for await (const record of sealer.close()) records.push(record);
        const opened = await openAll(opener, records);
        if (opened.pop() !== 'close' || opened.length !== messages.length) return false;
        return messages.every((message, i) => equalBytes(message, (opened[i] as Uint8Array) ?? NOTHING));
      }),
      { numRuns: 12 },
    );
    t.pass('all of them');
  });

t.test('both implementations make the same records', async (t) => {
  const [a, b] = [await newSealer(small), await newSealer(small, portable)];
  const messages = [NOTHING, Uint8Array.of(1), FULL, new Uint8Array(70_000).fill(3)];
  t.same(await sealAll(a, ...messages), await sealAll(b, ...messages));
});

t.test('records are at most 64 KiB and 18 bytes; a message of 1 MiB is sixteen of them', async (t) => {
  const records = await sealAll(await newSealer(), new Uint8Array(MAX_MESSAGE));
  t.equal(records.length, 16);
  t.ok(records.every((record) => record.length === 65_554));
});

t.test('a message that is too long is refused where it is sent, and costs nothing', async (t) => {
  const sealer = await newSealer();
  await t.rejects(sealAll(sealer, new Uint8Array(MAX_MESSAGE + 1)), { code: 'limit' });
  t.same(await openFresh(await sealAll(sealer, Uint8Array.of(1))), [Uint8Array.of(1)]);
});

for (const [name, cryptography] of IMPLEMENTATIONS) {
  const opener = (limits = KEY_LIMITS) => newOpener(limits, cryptography as typeof native);

  t.test(`C2: each changed byte of a record is refused, ${name}`, async (t) => {
    const [record = NOTHING] = await sealAll(await newSealer(), new Uint8Array(20));
    for (let at = 0; at < record.length; at++)
      t.same(await openAll(await opener(), [flipped(record, at)]), ['tampered'], `byte ${at}`);
  });

  t.test(`shortened, lengthened and random records are refused, ${name}`, async (t) => {
    const [record = NOTHING] = await sealAll(await newSealer(), new Uint8Array(20));
    for (let length = 0; length < record.length; length++)
      t.same(await openAll(await opener(), [record.subarray(0, length)]), [length < 18 ? 'length' : 'tampered']);
    t.same(await openAll(await opener(), [concatBytes(record, Uint8Array.of(0))]), ['tampered']);
    t.same(await openAll(await opener(), [new Uint8Array(65_554)]), ['tampered']);
    t.same(await openAll(await opener(), [new Uint8Array(65_555)]), ['length']);
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), async (noise) =>
        ['length', 'tampered', 'key-update'].includes(String((await openAll(await opener(), [noise]))[0])),
      ),
    );
  });

  t.test(`C2: records that are dropped, doubled or moved are refused, and nothing opens after, ${name}`, async (t) => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 2, max: 8 }),
        fc.nat(),
        fc.nat(),
        fc.constantFrom('drop', 'double', 'swap'),
        async (n, x, y, how) => {
          const records = await sealAll(await newSealer(), ...Array.from({ length: n }, (_, i) => Uint8Array.of(i)));
          const at = x % (n - 1);
          const to = at + 1 + (y % (n - 1 - at));
          const [a = NOTHING, b = NOTHING] = [records[at], records[to]];
          if (how === 'drop') records.splice(at, 1);
          if (how === 'double') records.splice(to, 0, a);
          if (how === 'swap') [records[at], records[to]] = [b, a];
          const one = await opener();
          const opened = await openAll(one, records);
          const good = Array.from({ length: how === 'double' ? to : at }, (_, i) => Uint8Array.of(i));
          t.same(opened, [...good, 'tampered']);
          t.same(await openAll(one, [a]), ['over']);
        },
      ),
      { numRuns: 50 },
    );
  });

  t.test(`a direction’s records do not open in the other, nor in another session, ${name}`, async (t) => {
    const other = await RecordSealer.start(cryptography, new Uint8Array(32).fill(6), KEY_LIMITS);
    t.same(await openAll(await opener(), await sealAll(other, Uint8Array.of(1))), ['tampered']);
  });

  t.test(`one record after the other: who does not wait has a defect, ${name}`, async (t) => {
    const [first = NOTHING, second = NOTHING] = await sealAll(await newSealer(), Uint8Array.of(1), Uint8Array.of(2));
    const one = await opener();
    const opening = one.open(first);
    await t.rejects(one.open(second), TypeError);
    t.same(await opening, { kind: 'message', message: Uint8Array.of(1) });
    t.same(await one.open(second), { kind: 'message', message: Uint8Array.of(2) }, 'and it did no harm');
    const sealer = await newSealer(KEY_LIMITS, cryptography as typeof native);
    const message = sealer.message(new Uint8Array(100_000));
    await message.next();
    await t.rejects(sealer.message(NOTHING).next(), TypeError, 'no message inside another');
    await t.rejects(sealer.close().next(), TypeError);
    await message.next();
    await message.next();
    t.equal((await sealAll(sealer, NOTHING)).length, 1);
  });

  t.test(`what ends while a record is under way gives nothing any more, ${name}`, async (t) => {
    const sealer = await newSealer(small, cryptography as typeof native);
    const sealing = sealer.message(FULL).next();
    sealer.end();
    await t.rejects(sealing, { code: 'channel-closed' });
    const [record = NOTHING] = await sealAll(await newSealer(), Uint8Array.of(1));
    const one = await opener();
    const opening = openAll(one, [record]);
    one.end();
    t.same(await opening, ['over']);
  });
}

t.test('after a close nothing is sealed and nothing opens', async (t) => {
  const [sealer, opener] = [await newSealer(), await newOpener()];
  const [close = NOTHING] = await Array.fromAsync(sealer.close());
  await t.rejects(sealAll(sealer, NOTHING), { code: 'channel-closed' });
  t.same(await openAll(opener, [close]), ['close']);
  t.same(await openAll(opener, [close]), ['over']);
});

t.test('keys are replaced after so many records, and after so many bytes', async (t) => {
  const [sealer, opener] = [await newSealer(small), await newOpener(small)];
  const types: number[] = [];
  const opened: (Uint8Array | string)[] = [];
  const messages = Array.from({ length: 30 }, (_, i) => new Uint8Array(i % 5 === 4 ? 40_000 : 1).fill(i));
  for (const message of messages)
    for await (const record of sealer.message(message)) {
      types.push(record[0] ?? 0);
      opened.push(...(await openAll(opener, [record])));
    }
  t.same(opened, messages);
  const runs = types.map((type) => (type === UPDATE ? '|' : '.')).join('');
  t.notMatch(runs, /\.{5}/, 'never more than four records under one key');
  t.ok(runs.includes('|'));
  for await (const record of sealer.close()) opened.push(...(await openAll(opener, [record])));
  t.equal(opened.at(-1), 'close');
});

t.test('a 1 MiB message goes through many keys', async (t) => {
  const [sealer, opener] = [await newSealer(small), await newOpener(small)];
  const message = new Uint8Array(randomBytes(MAX_MESSAGE));
  const records = await sealAll(sealer, message);
  t.equal(records.filter((record) => record[0] === UPDATE).length, 15);
  const [opened] = await openAll(opener, records);
  t.ok(Buffer.compare(Buffer.from(opened ?? ''), message) === 0);
});

t.test('after an update the old key is gone', async (t) => {
  const secret = SECRET.slice();
  const next = await nextSecret(native, secret);
  t.same(secret, new Uint8Array(32), 'wiped');
  const opener = await newOpener();
  const records = [
    await hostile(DATA, 0, Uint8Array.of(1)),
    await hostile(UPDATE, 0, NOTHING, 1),
    await hostile(DATA, 0, Uint8Array.of(2), 0, next),
    await hostile(DATA, 0, Uint8Array.of(3), 2),
  ];
  t.same(await openAll(opener, records), [Uint8Array.of(1), Uint8Array.of(2), 'tampered']);
});

t.test('a sender that does not replace its key is refused', async (t) => {
  const byCount = await Promise.all(Array.from({ length: 5 }, (_, i) => hostile(DATA, 0, Uint8Array.of(i), i)));
  t.same((await openAll(await newOpener(small), byCount)).at(-1), 'key-worn-out');
  const byBytes = [await hostile(DATA, 0, FULL), await hostile(DATA, 0, Uint8Array.of(1), 1)];
  t.same((await openAll(await newOpener(small), byBytes)).at(-1), 'key-worn-out');
});

t.test('key updates with nothing between them are refused', async (t) => {
  const next = await nextSecret(native, SECRET.slice());
  t.same(await openAll(await newOpener(), [await hostile(UPDATE, 0, NOTHING)]), ['key-update']);
  const two = [
    await hostile(DATA, 0, NOTHING),
    await hostile(UPDATE, 0, NOTHING, 1),
    await hostile(UPDATE, 0, NOTHING, 0, next),
  ];
  t.same(await openAll(await newOpener(), two), [NOTHING, 'key-update']);
});

t.test('what a record may not be is refused, even under the true key', async (t) => {
  const refused: [string, Uint8Array, string][] = [
    ['unknown type', await hostile(20, 0, NOTHING), 'type'],
    ['type 0', await hostile(0, 0, NOTHING), 'type'],
    ['a second confirmation', await hostile(CONFIRMATION, 0, NOTHING), 'type'],
    ['unknown flag', await hostile(DATA, 2, NOTHING), 'type'],
    ['a close that goes on', await hostile(CLOSE, 1, NOTHING), 'type'],
    ['a close with a body', await hostile(CLOSE, 0, Uint8Array.of(1)), 'fragment'],
    ['an empty part', await hostile(DATA, 1, NOTHING), 'fragment'],
    ['a short part', await hostile(DATA, 1, FULL.subarray(1)), 'fragment'],
  ];
  for (const [why, record, what] of refused) t.same(await openAll(await newOpener(), [record]), [what], why);
});

t.test('a message that does not end is refused before it is buffered', async (t) => {
  const parts = await Promise.all(Array.from({ length: 16 }, (_, i) => hostile(DATA, 1, FULL, i)));
  t.same(await openAll(await newOpener(), parts.slice(0, 15)), []);
  t.same(await openAll(await newOpener(), parts), ['message-length']);
  t.same(
    await openAll(await newOpener(), [...parts.slice(0, 1), await hostile(CLOSE, 0, NOTHING, 1)]),
    ['fragment'],
    'close inside',
  );
  t.same(
    await openAll(await newOpener(), [...parts.slice(0, 1), await hostile(DATA, 0, NOTHING, 1)]),
    ['fragment'],
    'empty last part',
  );
});

t.test('limits that leave no room for a record are a defect', async (t) => {
  for (const limits of [
    { records: 0, bytes: 2 ** 20 },
    { records: 1, bytes: 10 },
  ])
    await t.rejects(newSealer(limits), RangeError);
});
