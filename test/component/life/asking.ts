/** The process of asker.ts, seen from the test that runs it, and the proof that each of its requests was done once. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import type { Test } from 'tap';
import { encodeIdentitySecret } from '../../../shared/identity/identity.ts';
import type { RelayProcess } from '../backend/relay-process.ts';
import type { Orders, Told } from './asker.ts';
import { makeSystem, type Program, type RealSystem } from './real-system.ts';

const LANES = 4;
const PATIENCE_MS = 60_000;

/** A relay, a backend, a vmc that is parked, and a device that asks it. */
export async function askedSystem(
  t: Test,
): Promise<{ system: RealSystem; relay: RelayProcess; vmc: Program; asker: Asking }> {
  const system = await makeSystem(t);
  const relay = await system.startRelay();
  await system.startBackend(relay);
  const vmc = system.startVmc();
  await vmc.said(/"event":"parked"/);
  return { system, relay, vmc, asker: new Asking(t, system) };
}

export class Asking {
  readonly child: ChildProcess;
  #answered = 0;
  #ended: Extract<Told, { kind: 'ended' }> | undefined;

  constructor(t: Test, { owner, address, vmId }: RealSystem) {
    this.child = fork(new URL('asker.ts', import.meta.url).pathname, {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    t.teardown(() => this.child.kill('SIGKILL'));
    this.child.on('message', (told: Told) => {
      if (told.kind === 'answered') this.#answered++;
      else this.#ended = told;
    });
    const orders: Orders = {
      folder: join(t.testdirName, 'person'),
      secret: Buffer.from(encodeIdentitySecret(owner)).toString('base64'),
      ...address,
      vmId,
      lanes: LANES,
    };
    this.child.send(orders);
  }

  get pid(): number {
    return this.child.pid ?? 0;
  }

  get answered(): number {
    return this.#answered;
  }

  async moreAnswers(count: number): Promise<void> {
    const signal = AbortSignal.timeout(PATIENCE_MS);
    for (const enough = this.#answered + count; this.#answered < enough && this.#ended === undefined; )
      await once(this.child, 'message', { signal });
  }

  /** @returns how often it lost its VM and found it again. */
  async endsWithEachDoneOnce(t: Test, system: RealSystem): Promise<number> {
    this.child.send('enough');
    const signal = AbortSignal.timeout(PATIENCE_MS);
    while (this.#ended === undefined) await once(this.child, 'message', { signal });
    const { targets, failures, said } = this.#ended;

    t.strictSame(failures, [], 'each request was answered, and not with an error');
    t.equal(this.#answered, targets.length * 2, 'once');
    const done = new Map<string, number>();
    for (const { what, target, result } of system.audit())
      if (result === 'ok' && (what === 'tunnel.open' || what === 'tunnel.close'))
        done.set(`${what} ${target}`, (done.get(`${what} ${target}`) ?? 0) + 1);
    t.equal(done.size, targets.length * 2, 'all of it was done');
    t.strictSame(
      [...done].filter(([, times]) => times !== 1),
      [],
      'nothing was done twice',
    );
    return said.split('is back').length - 1;
  }
}
