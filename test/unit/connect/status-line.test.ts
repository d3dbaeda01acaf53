/** B4: the line of status is for terminals; with --json the same news is on stdout, once for each change. */
import t from 'tap';
import { StatusLine } from '../../../connect/tunnel/status-line.ts';
import { fakeIo } from './fake-io.ts';

const port = { vmPort: 8080, port: 40000, counts: () => ({ open: 1, bytesUp: 10, bytesDown: 20 }) };

t.test('drawn in place on a terminal, cut to its width, and removed at the end', async (t) => {
  const io = fakeIo();
  Object.assign(io.stderr, { isTTY: true, columns: 40 });
  const status = new StatusLine(io, 'lab\u001b[31m', false);
  status.start([port]);
  status.end();
  const [, line = '', rest] = io.errors().split('\r\u001b[K');
  t.match(line, /^lab\\x1b\[31m: connected \| 40000→8080: /);
  t.equal(line.length, 39);
  t.equal(rest, '');
  t.equal(io.output(), '');
});

t.test('nothing where there is no terminal; with --json one object for each change', async (t) => {
  const io = fakeIo();
  const status = new StatusLine(io, 'lab', true);
  status.start([port]);
  status.state('connected');
  status.state('reconnecting', 'gone');
  status.state('reconnecting', 'still gone');
  status.state('connected');
  status.end();
  t.equal(io.errors(), '');
  t.strictSame(
    io
      .output()
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line)),
    [
      { event: 'reconnecting', vm: 'lab', why: 'gone' },
      { event: 'connected', vm: 'lab' },
    ],
  );
});
