import t from 'tap';
import { DisturbanceDetector, LOOK_EVERY_MS, onDisturbance } from '../../../shared/net/disturbance.ts';
import { abortable, pause } from '../../../shared/net/pause.ts';

function setUp() {
  const here = { wall: 1e12, monotonic: 500, addresses: ['eth0=10.0.0.2', 'lo=127.0.0.1'] };
  const detector = new DisturbanceDetector({
    wall: () => here.wall,
    monotonic: () => here.monotonic,
    addresses: () => here.addresses,
  });
  const pass = (wall: number, monotonic = wall) => {
    here.wall += wall;
    here.monotonic += monotonic;
    return detector.look();
  };
  return { here, pass };
}

t.test(
  'C1 sleep of the machine and of the process shows; a late timer and a small step of the clock do not',
  async (t) => {
    const { pass } = setUp();
    t.equal(pass(LOOK_EVERY_MS), undefined);
    t.equal(pass(3_600_000, LOOK_EVERY_MS), 'slept', 'only the wall clock went on');
    t.equal(pass(LOOK_EVERY_MS), undefined, 'once');
    t.equal(pass(60_000), 'slept', 'stopped, with both clocks going on');
    t.equal(pass(LOOK_EVERY_MS + 4_000), undefined, 'a busy machine');
    t.equal(pass(LOOK_EVERY_MS + 3_000, LOOK_EVERY_MS), undefined);
    t.equal(pass(-3_600_000, LOOK_EVERY_MS), undefined, 'the clock was set back');
  },
);

t.test('C1 a change of address shows, in whatever order they are listed', async (t) => {
  const { here, pass } = setUp();
  here.addresses = ['lo=127.0.0.1', 'eth0=10.0.0.2'];
  t.equal(pass(LOOK_EVERY_MS), undefined);
  here.addresses = ['lo=127.0.0.1', 'eth0=10.0.0.3'];
  t.equal(pass(LOOK_EVERY_MS), 'moved');
  t.equal(pass(LOOK_EVERY_MS), undefined);
  here.addresses = ['lo=127.0.0.1'];
  t.equal(pass(LOOK_EVERY_MS), 'moved');
});

t.test('a pause ends in time, and at once when it is aborted; listeners are gone afterwards', async (t) => {
  await pause(1, new AbortController().signal);
  const abort = new AbortController();
  const waiting = pause(3_600_000, abort.signal);
  abort.abort(new Error('stop'));
  await t.rejects(waiting, /stop/);
  await t.rejects(pause(3_600_000, abort.signal), /stop/);
  await t.rejects(abortable(new Promise(() => {}), abort.signal), /stop/);
  t.equal(await abortable(Promise.resolve(1), new AbortController().signal), 1);
  const stop = onDisturbance(() => {});
  stop();
  stop();
});
