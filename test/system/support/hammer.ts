/** Connects to HOST PORT again and again until its stdin ends; then prints how many got through: {connected, refused, failed}. */
import { connect } from 'node:net';
import { setTimeout } from 'node:timers/promises';

/** Not so fast that the kernel's queue fills while nobody takes from it. */
const PAUSE_MS = 20;

const [host = '', port = ''] = process.argv.slice(2);
const seen = { connected: 0, refused: 0, failed: 0 };

const once = () =>
  new Promise<void>((resolve) => {
    const socket = connect({ host, port: Number(port), timeout: 10_000 });
    const done = (what: keyof typeof seen) => {
      seen[what]++;
      socket.destroy();
      resolve();
    };
    socket.once('connect', () => done('connected'));
    socket.once('timeout', () => done('failed'));
    socket.once('error', (error: NodeJS.ErrnoException) => done(error.code === 'ECONNREFUSED' ? 'refused' : 'failed'));
  });

let stopped = false;
process.stdin.resume().once('end', () => {
  stopped = true;
});
while (!stopped) await Promise.all([once(), setTimeout(PAUSE_MS)]);
process.stdout.write(JSON.stringify(seen));
