/** C4: port 22 comes from systemd, so a restart of vmc refuses no connection. The real daemon on a socket that outlives it. */
import { readFileSync, readlinkSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { connect as tcpConnect } from 'node:net';
import { setTimeout } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { controlMethods } from '../../../shared/api/index.ts';
import { certificateSha256, makeCertificate } from '../../../shared/net/certificate.ts';
import { findPortOwner } from '../../../vmc/port22/port-owner.ts';
import { setUp, type Vmc } from './daemon-process.ts';
import { inNamespace } from './in-namespace.ts';

const PAUSE_MS = 4;

/** Stands for systemd: keeps the socket, and starts what follows once for each line, as sd_listen_fds(3) wants it. */
const KEEPER = `while read -r line; do sh -c 'export LISTEN_PID=$$; exec "$@"' sh "$@" </dev/null; done`;
const CREDENTIALS = ['-E', 'CREDENTIALS_DIRECTORY', '-E', 'PATH'];

const underSystemd = (listen: string) => [
  'systemd-socket-activate',
  '-l',
  listen,
  ...CREDENTIALS,
  'sh',
  '-c',
  KEEPER,
  'sh',
];

/** Connects again and again until told to stop; not so fast that it fills the kernel's queue while nobody takes from it. */
function hammer(port: number) {
  const seen = { connected: 0, refused: 0 };
  let stopped = false;
  const once = () =>
    new Promise<void>((resolve) => {
      const socket = tcpConnect(port, '127.0.0.1')
        .once('connect', () => {
          seen.connected++;
          socket.destroy();
        })
        .once('error', (error: NodeJS.ErrnoException) => {
          if (error.code === 'ECONNREFUSED') seen.refused++;
        })
        .once('close', () => resolve());
    });
  const over = (async () => {
    while (!stopped) await Promise.all([once(), setTimeout(PAUSE_MS)]);
  })();
  return {
    seen,
    async stop() {
      stopped = true;
      await over;
    },
  };
}

/** The first connection starts the keeper, which then waits for its first line. */
const knock = (port: number) =>
  new Promise<void>((resolve) => {
    const socket = tcpConnect(port, '127.0.0.1')
      .once('connect', () => socket.destroy())
      .once(
        'error',
        () =>
          void setTimeout(50)
            .then(() => knock(port))
            .then(resolve),
      )
      .once('close', (failed: boolean) => failed || resolve());
  });

async function vmcPid(t: Test): Promise<number> {
  const owner = await findPortOwner(22);
  t.match(owner, { isVmc: true }, 'C4 the owner is vmc, not who gave it the socket');
  return owner?.pid ?? 0;
}

/** Ends the vmc that holds the port. @param count how many have said by then that they stopped. */
async function stopVmc(t: Test, keeper: Vmc, count: number): Promise<void> {
  process.kill(await vmcPid(t), 'SIGTERM');
  await keeper.said(new RegExp(`("event":"stopped"[\\s\\S]*){${count}}`));
}

await inNamespace(import.meta.url, () => {
  t.test('C4 a restart on a socket that systemd keeps refuses nobody; one without refuses', async (t) => {
    const { start, owner, connect } = await setUp(t, { ports: [9] });
    const keeper = start(true, underSystemd('22'));
    await knock(22);
    keeper.tell('start');
    await keeper.said(/"event":"parked"/);

    const pid = await vmcPid(t);
    const environment = readFileSync(`/proc/${pid}/environ`, 'latin1');
    t.match(environment, /LISTEN_FDS=1/, 'it was given');
    const rpc = await connect(owner);
    t.same(await rpc.call(controlMethods.driveList, {}), { drives: [] }, 'what it runs for that');
    await rpc.close();

    const hits = hammer(22);
    for (let i = 1; i <= 3; i++) {
      await stopVmc(t, keeper, i);
      const waits = tcpConnect(22, '127.0.0.1').on('error', () => {});
      const answered = Promise.withResolvers<void>();
      waits.once('close', () => answered.resolve());
      t.equal((await findPortOwner(22))?.isVmc, false, 'vmc is gone');
      const before = hits.seen.connected;
      while (hits.seen.connected < before + 20) await setTimeout(PAUSE_MS);
      t.equal(waits.destroyed, false, 'who came meanwhile waits');
      keeper.tell('start');
      await keeper.said(new RegExp(`("event":"parked"[\\s\\S]*){${i + 1}}`));
      await answered.promise;
      t.pass('and is looked at by the new one, which expects nobody yet');
    }
    await hits.stop();
    t.equal(hits.seen.refused, 0, `of ${hits.seen.connected} connections none was refused`);

    const again = await connect(owner);
    const device = makeCertificate('device', 'clientAuth', 1, new Date());
    const certificateSha = certificateSha256(device.certificatePem);
    t.match(await again.call(controlMethods.tunnelOpen, { certificateSha256: certificateSha }), {
      ports: [{ from: 9 }],
    });
    await again.close();
    keeper.tell(undefined);
    await stopVmc(t, keeper, 4);
    t.equal(await keeper.exited, 0);

    const alone = start();
    await alone.said(/"event":"parked"/);
    const control = hammer(22);
    await alone.stop();
    while (control.seen.refused === 0) await setTimeout(PAUSE_MS);
    await control.stop();
    t.pass('the same hammer is refused without such a socket');
  });

  t.test('C4 the socket is vmc’s alone: its children do not get it', async (t) => {
    const { start } = await setUp(t);
    const keeper = start(true, underSystemd('22'));
    await knock(22);
    keeper.tell('start');
    await keeper.said(/"event":"parked"/);
    const pid = await vmcPid(t);
    const given = readlinkSync(`/proc/${pid}/fd/3`);
    t.match(given, /^socket:/);
    const flags = Number.parseInt(
      /^flags:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/fdinfo/3`, 'utf8'))?.[1] ?? '0',
      8,
    );
    t.ok(flags & 0o2000000, 'close-on-exec');
    keeper.tell(undefined);
    await stopVmc(t, keeper, 1);
  });

  t.test(
    'C4 another socket than tunnel.port is a clear error; variables of another process are not vmc’s',
    async (t) => {
      const { start, config } = await setUp(t);
      const keeper = start(true, underSystemd('2200'));
      await knock(2200);
      keeper.tell('start');
      await keeper.said(/vmc: systemd gives vmc another socket, but vmc needs one TCP socket that listens on port 22/);
      await keeper.said(/hint: .*ListenStream= of vmc\.socket/);
      keeper.tell(undefined);
      t.ok(await keeper.exited);

      await writeFile(config, readFileSync(config, 'utf8').replace('[tunnel]', '[tunnel]\nport = 2201'));
      const two = start(true, ['systemd-socket-activate', '-l', '2201', '-l', '2202', ...CREDENTIALS]);
      await knock(2201);
      t.equal(await two.exited, 78);
      t.match(two.output, /systemd gives vmc 2 sockets/);

      const notMine = start(true, ['env', 'LISTEN_PID=1', 'LISTEN_FDS=1']);
      await notMine.said(/"event":"parked"/);
      t.match(await findPortOwner(2201), { isVmc: true }, 'it listens by itself');
      t.equal(await notMine.stop(), 0);
    },
  );
});
