/** What a person types: names, ids, sizes, numbers, forwards; and what is shown while they wait. */
import t from 'tap';
import { requireConfirm, sizeInMiB, wholeNumber } from '../../../connect/options.ts';
import { progressLine, progressText } from '../../../connect/progress.ts';
import { resolve } from '../../../connect/resolve.ts';
import { parseForward, portsText, requireAllowed } from '../../../connect/tunnel/forward-spec.ts';
import { fakeIo } from './fake-io.ts';

const items = [
  { id: 'vm-1', name: 'lab' },
  { id: 'vm-2', name: 'twin' },
  { id: 'vm-3', name: 'twin' },
  { id: 'vm-4', name: 'vm-1' },
];
const find = (wanted: string) => resolve(items, (item) => item.id, wanted, 'VM');

t.test('resolve: id before name, nothing and too many are errors that help', async (t) => {
  t.equal(find('lab').id, 'vm-1');
  t.equal(find('vm-1').id, 'vm-1', 'an id wins over a name that looks like one');
  t.throws(() => find('nope'), { code: 'not-found', hint: 'There are: lab, twin, twin, vm-1.' });
  t.throws(() => find('twin'), { code: 'bad-request', hint: /vm-2, vm-3/ });
  t.throws(() => resolve([], () => '', 'lab', 'VM'), { code: 'not-found', hint: 'You have no VM yet.' });
});

t.test('sizes are whole MiB', async (t) => {
  t.equal(sizeInMiB('2GiB'), 2 * 1024 ** 3);
  t.equal(sizeInMiB('512M'), 512 * 1024 ** 2);
  for (const text of ['', '0', '1', '1.5GiB', '-1GiB', '2 gigs', '1048577', '99999999999TiB'])
    t.throws(() => sizeInMiB(text), { code: 'bad-request' }, text);
});

t.test('numbers have bounds', async (t) => {
  const parse = wholeNumber(1, 10);
  t.equal(parse('10'), 10);
  for (const text of ['0', '11', '1e1', '', ' 1', '0x1', 'NaN']) t.throws(() => parse(text), { code: 'bad-request' });
});

t.test('what cannot be undone needs the same word', async (t) => {
  t.doesNotThrow(() => requireConfirm('lab', 'lab', 'its name'));
  t.throws(() => requireConfirm('lap', 'lab', 'its name'), { code: 'bad-request', hint: /--confirm lab/ });
});

t.test('C5 forwards: PORT and PORT:LOCALPORT', async (t) => {
  t.strictSame(parseForward('8080'), { vmPort: 8080, localPort: 0 });
  t.strictSame(parseForward('3389:13389'), { vmPort: 3389, localPort: 13389 });
  for (const text of ['', '0', '65536', '80:', ':80', '80:0', '80:65536', 'a', '80:80:80', '-1'])
    t.throws(() => parseForward(text), { code: 'bad-request' }, text);
});

t.test('C5 a port that the VM did not list is refused, naming those it lists', async (t) => {
  const ranges = [
    { from: 3389, to: 3389 },
    { from: 8000, to: 8010 },
  ];
  t.equal(portsText(ranges), '3389, 8000-8010');
  t.doesNotThrow(() => requireAllowed('lab', ranges, [{ vmPort: 8010, localPort: 0 }]));
  t.throws(() => requireAllowed('lab', ranges, [parseForward('8011'), parseForward('8000')]), {
    code: 'forbidden',
    message: /port 8011\./,
    hint: 'It allows: 3389, 8000-8010.',
  });
  t.throws(() => requireAllowed('lab', [], [parseForward('80')]), { code: 'forbidden', hint: /none/ });
});

t.test('progress shows on a terminal only, and a step cannot steer it', async (t) => {
  t.equal(progressText({ step: 'a' }), 'a');
  t.equal(progressText({ step: 'a', done: 1024, total: 2048, unit: 'bytes' }), 'a: 1.0 KiB of 2.0 KiB');
  t.equal(progressText({ step: 'a', done: 3 }), 'a: 3');
  const quiet = fakeIo();
  progressLine(quiet).show({ step: 'a' });
  t.equal(quiet.errors(), '');
  const terminal = fakeIo();
  Object.assign(terminal.stderr, { isTTY: true });
  const line = progressLine(terminal);
  line.show({ step: 'a\x1b[2Jb\nc' });
  line.end();
  t.equal(terminal.errors(), '\r\x1b[Ka\\x1b[2Jb c\r\x1b[K');
});
