import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import t from 'tap';
import { concatBytes } from '../../../shared/bytes.ts';
import { nextSecret, recordKey } from '../../../shared/channel/key-schedule.ts';
import { KEY_LIMITS, type KeyLimits, MAX_MESSAGE, MAX_RECORD_PLAINTEXT } from '../../../shared/channel/limits.ts';
import { RecordOpener, RecordRefused, RecordSealer } from '../../../shared/channel/records.ts';
import { seal } from '../../../shared/identity/aead.ts';
import { flipped } from './peers.ts';

const SECRET = new Uint8Array(32).fill(5);
const small: KeyLimits = { records: 4, bytes: MAX_RECORD_PLAINTEXT };

function pair(limits = KEY_LIMITS) {
  return { sealer: new RecordSealer(SECRET.slice(), limits), opener: new RecordOpener(SECRET.slice(), limits) };
}

/** What a peer that breaks the rules could send: any header, any body, under the true key. */
function hostile(type: number, flags: number, body: Uint8Array, number = 0, secret: Uint8Array = SECRET): Uint8Array {
  const { key, iv } = recordKey(secret);
  iv[11] = (iv[11] ?? 0) ^ number;
  const header = Uint8Array.of(type, flags);
  return concatBytes(header, seal(key, iv, header, body));
}
const [CONFIRMATION, DATA, UPDATE, CLOSE] = [16, 17, 18, 19];
const FULL: Uint8Array = new Uint8Array(MAX_RECORD_PLAINTEXT);
const NOTHING: Uint8Array = new Uint8Array(0);

/** Opens records in turn. @returns the messages, then 'close' or the refusal, if one came. */
function openAll(opener: RecordOpener, records: Iterable<Uint8Array>): (Uint8Array | string)[] {
  const out: (Uint8Array | string)[] = [];
  try {
    for (const record of records) {
      const opened = opener.open(record);
      if (opened.kind === 'message') out.push(opened.message);
      if (opened.kind === 'close') out.push('close');
    }
  } catch (error) {
    out.push(error instanceof RecordRefused ? error.what : String(error));
  }
  return out;
}

t.test('messages of every length come back whole', async (t) => {
  const edge = fc.constantFrom(
    0,
    1,
    MAX_RECORD_PLAINTEXT - 1,
    MAX_RECORD_PLAINTEXT,
    MAX_RECORD_PLAINTEXT + 1,
    MAX_MESSAGE,
  );
  const length = fc.oneof(fc.nat({ max: 200_000 }), edge);
  fc.assert(
    fc.property(fc.array(length, { maxLength: 4 }), (lengths) => {
      const { sealer, opener } = pair();
      const messages = lengths.map((size) => new Uint8Array(randomBytes(size)));
      const opened = openAll(
        opener,
        messages.flatMap((message) => [...sealer.message(message)]).concat(...sealer.close()),
      );
      t.equal(opened.pop(), 'close');
      t.equal(opened.length, messages.length);
      t.ok(messages.every((message, i) => Buffer.compare(message, Buffer.from(opened[i] ?? '')) === 0));
    }),
    { numRuns: 25 },
  );
});

t.test('records are at most 64 KiB and 18 bytes; a message of 1 MiB is sixteen of them', async (t) => {
  const records = [...pair().sealer.message(new Uint8Array(MAX_MESSAGE))];
  t.equal(records.length, 16);
  t.ok(records.every((record) => record.length === 65_554));
});

t.test('a message that is too long is refused where it is sent, and costs nothing', async (t) => {
  const { sealer, opener } = pair();
  t.throws(() => [...sealer.message(new Uint8Array(MAX_MESSAGE + 1))], { code: 'limit' });
  t.same(openAll(opener, sealer.message(Uint8Array.of(1))), [Uint8Array.of(1)]);
});

t.test('C2: each changed byte of a record is refused', async (t) => {
  const [record = NOTHING] = pair().sealer.message(new Uint8Array(20));
  for (let at = 0; at < record.length; at++)
    t.same(openAll(pair().opener, [flipped(record, at)]), ['tampered'], `byte ${at}`);
});
t.test('shortened, lengthened and random records are refused', async (t) => {
  const [record = NOTHING] = pair().sealer.message(new Uint8Array(20));
  t.same(openAll(pair().opener, [record.subarray(0, -1)]), ['tampered']);
  t.same(openAll(pair().opener, [concatBytes(record, Uint8Array.of(0))]), ['tampered']);
  t.same(openAll(pair().opener, [record.subarray(0, 17)]), ['length']);
  t.same(openAll(pair().opener, [new Uint8Array(65_555)]), ['length']);
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (noise) => {
      t.ok(['length', 'tampered', 'key-update'].includes(String(openAll(pair().opener, [noise])[0])));
    }),
  );
});

t.test('C2: records that are dropped, doubled or moved are refused, and nothing opens after', async (t) => {
  fc.assert(
    fc.property(
      fc.integer({ min: 2, max: 8 }),
      fc.nat(),
      fc.nat(),
      fc.constantFrom('drop', 'double', 'swap'),
      (n, x, y, how) => {
        const { sealer, opener } = pair();
        const records = Array.from({ length: n }, (_, i) => [...sealer.message(Uint8Array.of(i))]).flat();
        const at = x % (n - 1);
        const to = at + 1 + (y % (n - 1 - at));
        const [a = NOTHING, b = NOTHING] = [records[at], records[to]];
        if (how === 'drop') records.splice(at, 1);
        if (how === 'double') records.splice(to, 0, a);
        if (how === 'swap') [records[at], records[to]] = [b, a];
        const opened = openAll(opener, records);
        t.equal(opened.pop(), 'tampered');
        t.same(
          opened,
          Array.from({ length: how === 'double' ? to : at }, (_, i) => Uint8Array.of(i)),
        );
        t.same(openAll(opener, [a]), ['over']);
      },
    ),
  );
});

t.test('a direction’s records do not open in the other', async (t) => {
  const other = new RecordSealer(new Uint8Array(32).fill(6), KEY_LIMITS);
  t.same(openAll(pair().opener, other.message(Uint8Array.of(1))), ['tampered']);
});

t.test('after a close nothing is sealed and nothing opens', async (t) => {
  const { sealer, opener } = pair();
  const [close = NOTHING] = sealer.close();
  t.throws(() => [...sealer.message(NOTHING)], { code: 'channel-closed' });
  t.same(openAll(opener, [close]), ['close']);
  t.same(openAll(opener, [close]), ['over']);
});

t.test('keys are replaced after so many records, and after so many bytes', async (t) => {
  const { sealer, opener } = pair(small);
  const types: number[] = [];
  const opened: (Uint8Array | string)[] = [];
  const messages = Array.from({ length: 30 }, (_, i) => new Uint8Array(i % 5 === 4 ? 40_000 : 1).fill(i));
  for (const message of messages)
    for (const record of sealer.message(message)) {
      types.push(record[0] ?? 0);
      opened.push(...openAll(opener, [record]));
    }
  t.same(opened, messages);
  const runs = types.map((type) => (type === UPDATE ? '|' : '.')).join('');
  t.notMatch(runs, /\.{5}/, 'never more than four records under one key');
  t.ok(runs.includes('|'));
  for (const record of sealer.close()) opened.push(...openAll(opener, [record]));
  t.equal(opened.at(-1), 'close');
});

t.test('a 1 MiB message goes through many keys', async (t) => {
  const { sealer, opener } = pair(small);
  const message = new Uint8Array(randomBytes(MAX_MESSAGE));
  const records = [...sealer.message(message)];
  t.equal(records.filter((record) => record[0] === UPDATE).length, 15);
  const [opened] = openAll(opener, records);
  t.ok(Buffer.compare(Buffer.from(opened ?? ''), message) === 0);
});

t.test('after an update the old key is gone', async (t) => {
  const secret = SECRET.slice();
  const next = nextSecret(secret);
  t.same(secret, new Uint8Array(32), 'wiped');
  const { opener } = pair();
  const records = [
    hostile(DATA, 0, Uint8Array.of(1)),
    hostile(UPDATE, 0, NOTHING, 1),
    hostile(DATA, 0, Uint8Array.of(2), 0, next),
    hostile(DATA, 0, Uint8Array.of(3), 2),
  ];
  t.same(openAll(opener, records), [Uint8Array.of(1), Uint8Array.of(2), 'tampered']);
});

t.test('a sender that does not replace its key is refused', async (t) => {
  const byCount = Array.from({ length: 5 }, (_, i) => hostile(DATA, 0, Uint8Array.of(i), i));
  t.same(openAll(pair(small).opener, byCount).at(-1), 'key-worn-out');
  const byBytes = [hostile(DATA, 0, FULL), hostile(DATA, 0, Uint8Array.of(1), 1)];
  t.same(openAll(pair(small).opener, byBytes).at(-1), 'key-worn-out');
});

t.test('key updates with nothing between them are refused', async (t) => {
  const next = nextSecret(SECRET.slice());
  t.same(openAll(pair().opener, [hostile(UPDATE, 0, NOTHING)]), ['key-update']);
  const two = [hostile(DATA, 0, NOTHING), hostile(UPDATE, 0, NOTHING, 1), hostile(UPDATE, 0, NOTHING, 0, next)];
  t.same(openAll(pair().opener, two), [NOTHING, 'key-update']);
});

t.test('what a record may not be is refused, even under the true key', async (t) => {
  const refused: [string, Uint8Array, string][] = [
    ['unknown type', hostile(20, 0, NOTHING), 'type'],
    ['type 0', hostile(0, 0, NOTHING), 'type'],
    ['a second confirmation', hostile(CONFIRMATION, 0, NOTHING), 'type'],
    ['unknown flag', hostile(DATA, 2, NOTHING), 'type'],
    ['a close that goes on', hostile(CLOSE, 1, NOTHING), 'type'],
    ['a close with a body', hostile(CLOSE, 0, Uint8Array.of(1)), 'fragment'],
    ['an empty part', hostile(DATA, 1, NOTHING), 'fragment'],
    ['a short part', hostile(DATA, 1, FULL.subarray(1)), 'fragment'],
  ];
  for (const [why, record, what] of refused) t.same(openAll(pair().opener, [record]), [what], why);
});

t.test('a message that does not end is refused before it is buffered', async (t) => {
  const parts = Array.from({ length: 16 }, (_, i) => hostile(DATA, 1, FULL, i));
  t.same(openAll(pair().opener, parts.slice(0, 15)), []);
  t.same(openAll(pair().opener, parts), ['message-length']);
  t.same(openAll(pair().opener, [...parts.slice(0, 1), hostile(CLOSE, 0, NOTHING, 1)]), ['fragment'], 'close inside');
  t.same(openAll(pair().opener, [...parts.slice(0, 1), hostile(DATA, 0, NOTHING, 1)]), ['fragment'], 'empty last part');
});

t.test('limits that leave no room for a record are a defect', async (t) => {
  t.throws(() => pair({ records: 0, bytes: 2 ** 20 }), RangeError);
  t.throws(() => pair({ records: 1, bytes: 10 }), RangeError);
});
