/** Jobs on hosts: begun, followed, cancelled, cut; and what they change of a drive. */
import t from 'tap';
import { VmcError } from '../../../shared/errors.ts';
import { routes } from '../../../shared/rest-api/index.ts';
import type { Job } from '../../../shared/rest-api/jobs.ts';
import { type AgentScene, agentScene } from './drive-scene.ts';
import { type Person, until } from './fixture.ts';

const empty = { params: {}, body: {} };
const get = (person: Person, driveId: string) => person.client.call(routes.driveGet, { params: { driveId }, body: {} });
const convert = (person: Person, driveId: string, format: 'raw' | 'qcow2' = 'raw') =>
  person.client.call(routes.driveConvert, { params: { driveId }, body: { format } });
const resize = (person: Person, driveId: string, sizeBytes: number) =>
  person.client.call(routes.driveResize, { params: { driveId }, body: { sizeBytes } });
const wait = (person: Person, { jobId, version }: Pick<Job, 'jobId' | 'version'>) =>
  person.client.call(routes.jobWait, { params: { jobId, version }, body: {} });
const cancel = (person: Person, jobId: string) => person.client.call(routes.jobCancel, { params: { jobId }, body: {} });
const attach = (person: Person, driveId: string, vmId: string) =>
  person.client.call(routes.driveAttach, { params: { driveId }, body: { vmId } });

/** Follows a job to its end, as connect does. */
async function followed(person: Person, job: Job): Promise<Job> {
  let now = job;
  while (now.state === 'running') now = await wait(person, now);
  return now;
}

/** A convert that has begun on the host, and what lets it go on. */
async function converting({ alice, agent, driveId }: AgentScene): Promise<{ job: Job; goOn: () => void }> {
  const gate = Promise.withResolvers<void>();
  agent.workNext.set('drive.convert', gate.promise);
  const job = await convert(alice, driveId);
  await until(() => !agent.workNext.has('drive.convert'));
  return { job, goOn: gate.resolve };
}

t.test('a job: progress, versions, its result, and the drive that follows it', async (t) => {
  const it = await agentScene(t);
  const { alice, agent, driveId } = it;
  const { job, goOn } = await converting(it);
  t.match(job, { kind: 'drive-convert', target: driveId, userId: alice.userId, state: 'running' });
  const told = await wait(alice, job);
  t.match(told, { step: 'copying', done: 1, total: 10, unit: 'bytes', state: 'running' });
  t.ok(told.version > job.version);
  const waiting = wait(alice, { jobId: job.jobId, version: (await wait(alice, { ...job, version: 0 })).version + 5 });
  goOn();
  t.match(await waiting, { state: 'done', result: { driveId, format: 'raw' } }, 'the end wakes who waits');
  t.equal((await get(alice, driveId)).format, 'raw');
  t.strictSame(agent.drives.get(driveId)?.format, 'raw');
  const { jobs } = await alice.client.call(routes.jobList, empty);
  t.equal(jobs.find((it) => it.jobId === job.jobId)?.state, 'done');
  const log = it.audit();
  t.match(log, [
    { action: 'driveConvert', actor: alice.userId, target: driveId, result: 'ok' },
    { action: 'job.drive-convert', actor: alice.userId, target: driveId, result: 'ok' },
  ]);
});

t.test('nothing else begins on a drive while a job works on it', async (t) => {
  const it = await agentScene(t);
  const { alice, driveId, vmId } = it;
  const { job, goOn } = await converting(it);
  const busy = { code: 'busy', message: /drive-convert, job-/, hint: /cancel/ };
  await t.rejects(convert(alice, driveId, 'qcow2'), busy);
  await t.rejects(attach(alice, driveId, vmId), busy);
  await t.rejects(resize(alice, driveId, 2 ** 31), busy);
  await t.rejects(alice.client.call(routes.driveDelete, { params: { driveId }, body: { confirm: driveId } }), busy);
  goOn();
  await followed(alice, job);
  await attach(alice, driveId, vmId);
  await t.rejects(convert(alice, driveId, 'qcow2'), { code: 'busy', message: /attached to the VM one/ });
  await t.rejects(alice.client.call(routes.driveCheck, { params: { driveId }, body: {} }), { code: 'busy' });
  await resize(alice, driveId, 2 ** 31);
});

t.test('cancelled: the lock is held until the host says that it has stopped', async (t) => {
  const it = await agentScene(t);
  const { alice, agent, driveId } = it;
  const { job } = await converting(it);
  t.match(await cancel(alice, job.jobId), { state: 'running', step: 'cancelling' });
  t.match(await followed(alice, job), { state: 'cancelled', error: { code: 'cancelled' } });
  t.equal((await get(alice, driveId)).format, 'qcow2');
  t.match(await cancel(alice, job.jobId), { state: 'cancelled' }, 'again is fine');
  t.match(
    it.audit().findLast((it) => it.action === 'job.drive-convert'),
    { result: 'cancelled' },
  );
  const hold = Promise.withResolvers<void>();
  agent.holdNext.set('drive.convert', hold.promise); // does not heed the word
  const deaf = await convert(alice, driveId);
  await until(() => agent.calls.filter((it) => it === 'drive.convert').length === 2);
  await cancel(alice, deaf.jobId);
  await t.rejects(resize(alice, driveId, 2 ** 31), { code: 'busy' });
  hold.resolve();
  t.match(await followed(alice, deaf), { state: 'done' }, 'the word came too late, and that is what is said');
  t.equal((await get(alice, driveId)).format, 'raw');
});

t.test('a link that is cut: the outcome is not known, and settled when the host is back', async (t) => {
  const { fixture, admin, alice, agent, hostId, driveId } = await agentScene(t);
  agent.cutNext.add('drive.convert');
  const job = await followed(alice, await convert(alice, driveId));
  t.match(job, { state: 'failed', error: { code: 'outcome-unknown', hint: /look/ } });
  t.equal((await get(alice, driveId)).format, 'qcow2', 'as far as is known');
  t.match(await followed(alice, await convert(alice, driveId)), { state: 'failed', error: { code: 'unreachable' } });
  await fixture.linkAgent(admin, agent, hostId);
  await until(async () => (await get(alice, driveId)).format === 'raw');
  agent.cutNext.add('drive.resize');
  await t.rejects(resize(alice, driveId, 2 ** 31), { code: 'channel-closed' });
  await fixture.linkAgent(admin, agent, hostId);
  await until(async () => (await get(alice, driveId)).sizeBytes === 2 ** 31);
});

t.test('one drive that its host cannot tell of is not in the way of the others', async (t) => {
  const it = await agentScene(t);
  const { fixture, admin, alice, agent, hostId } = it;
  const drives = [it.driveId, await fixture.drive(alice, 'second')];
  const link = async () => {
    agent.failNext.set('drive.info', new VmcError('bad-data', 'Its file is missing.'));
    await fixture.linkAgent(admin, agent, hostId);
    await until(() => !agent.failNext.has('drive.info'));
  };
  for (const driveId of drives) {
    agent.cutNext.add('drive.convert');
    await followed(alice, await convert(alice, driveId));
    await link();
  }
  await until(async () => (await Promise.all(drives.map((it) => get(alice, it)))).some((it) => it.format === 'raw'));
});

t.test('a backend that stops while a job works: who waits is answered, and the drive is settled after', async (t) => {
  const it = await agentScene(t);
  const { fixture, admin, alice, agent, hostId, driveId } = it;
  const { job } = await converting(it);
  const told = await wait(alice, job);
  const waiting = wait(alice, { ...told, version: told.version + 5 }).catch((error: unknown) => error);
  await fixture.backend.close();
  await waiting;
  agent.drives.set(driveId, { format: 'raw', sizeBytes: 2 ** 30 }); // it was done after all
  await fixture.startBackend();
  const again = await fixture.signedIn(alice);
  t.equal((await get(again, driveId)).format, 'qcow2');
  await fixture.linkAgent(await fixture.signedIn(admin), agent, hostId);
  await until(async () => (await get(again, driveId)).format === 'raw');
  await t.rejects(wait(again, job), { code: 'not-found' });
});

t.test('growing: never smaller; the host has the last word; a failure changes nothing', async (t) => {
  const { alice, agent, driveId } = await agentScene(t);
  await t.rejects(resize(alice, driveId, 2 ** 29), { code: 'bad-request', message: /shrinks/ });
  agent.failNext.set('drive.resize', new VmcError('no-space', 'The pool is full.'));
  await t.rejects(resize(alice, driveId, 2 ** 31), { code: 'no-space' });
  t.equal((await get(alice, driveId)).sizeBytes, 2 ** 30);
  t.equal((await resize(alice, driveId, 2 ** 31)).sizeBytes, 2 ** 31);
  agent.drives.set(driveId, { format: 'qcow2', sizeBytes: 2 ** 32 });
  agent.failNext.set('drive.resize', new VmcError('busy', 'It grows already.'));
  await t.rejects(resize(alice, driveId, 2 ** 31), { code: 'busy' });
  t.equal((await get(alice, driveId)).sizeBytes, 2 ** 32, 'what is so is asked after a failure');
});

t.test('a check says what it found; a drive with its space set aside is made by a job', async (t) => {
  const { alice, agent, driveId, vmId } = await agentScene(t);
  const check = await alice.client.call(routes.driveCheck, { params: { driveId }, body: { repair: true } });
  t.match(await followed(alice, check), { state: 'done', result: { state: 'good', repaired: true } });
  const gate = Promise.withResolvers<void>();
  agent.workNext.set('drive.create', gate.promise);
  const create = (name: string) =>
    alice.client.call(routes.driveCreate, { params: {}, body: { name, sizeBytes: 2 ** 30, allocation: 'full' } });
  const { job, ...drive } = await create('solid');
  t.match(drive, { state: 'creating', name: 'solid' });
  await t.rejects(attach(alice, drive.driveId, vmId), { code: 'busy' });
  gate.resolve();
  if (job === undefined) throw new Error('no job');
  t.match(await followed(alice, job), { state: 'done' });
  t.equal((await get(alice, drive.driveId)).state, 'made');
  t.match(agent.asked.findLast((it) => it.method === 'drive.create')?.params, { allocation: 'full' });
  await attach(alice, drive.driveId, vmId);
  agent.workNext.set('drive.create', new Promise(() => {}));
  const second = await create('second');
  await until(() => !agent.workNext.has('drive.create'));
  await cancel(alice, second.job?.jobId ?? '');
  await followed(alice, second.job as Job);
  await t.rejects(get(alice, second.driveId), { code: 'not-found' }, 'cancelled, nothing of it stays');
});

t.test('jobs are bounded, and seen by their person and administrators only', async (t) => {
  const it = await agentScene(t);
  const { fixture, admin, alice, agent } = it;
  const bob = await fixture.invited(admin, 'bob');
  const { job, goOn } = await converting(it);
  await t.rejects(wait(bob, job), { code: 'not-found' });
  await t.rejects(cancel(bob, job.jobId), { code: 'not-found' });
  t.strictSame((await bob.client.call(routes.jobList, empty)).jobs, []);
  t.equal((await admin.client.call(routes.jobList, empty)).jobs.length, 1);
  const more: Job[] = [];
  for (let n = 1; n < 4; n++) {
    agent.workNext.set('drive.convert', new Promise(() => {}));
    more.push(await convert(alice, await fixture.drive(alice, `d${n}`)));
    await until(() => !agent.workNext.has('drive.convert'));
  }
  const last = await fixture.drive(alice, 'last');
  await t.rejects(convert(alice, last), { code: 'limit', message: /You have 4 jobs on that host/ });
  const bobs = await convert(bob, await fixture.drive(bob, 'his'));
  t.match(await followed(bob, bobs), { state: 'done' }, 'which keeps nobody else from it');
  goOn();
  t.match(await cancel(admin, more[0]?.jobId ?? ''), { step: 'cancelling' });
  t.match(await followed(alice, more[0] as Job), { state: 'cancelled' });
  await convert(alice, last);
});

t.test('who waits is bounded, and who has left does not count', async (t) => {
  const it = await agentScene(t);
  const { alice } = it;
  const { job, goOn } = await converting(it);
  const version = (await wait(alice, job)).version + 5;
  const cut = new AbortController();
  const input = { params: { jobId: job.jobId, version }, body: {} };
  const devices = await Promise.all(Array.from({ length: 11 }, () => it.fixture.signedIn(alice)));
  const asked = [...devices, ...devices, ...devices].map(({ client }) =>
    client.call(routes.jobWait, input, { signal: cut.signal }),
  );
  const codes = asked.map((it) => it.then(String, (error: VmcError) => error.code));
  t.equal(await Promise.race(codes), 'limit', 'one more than may wait');
  cut.abort();
  t.strictSame([...new Set(await Promise.all(codes))].sort(), ['cancelled', 'limit']);
  // A refusal comes at once; who is let in is held, until the job goes on.
  let waiting = Promise.resolve('');
  await until(async () => {
    waiting = wait(alice, { ...job, version }).then(
      ({ state }) => state,
      ({ code }: VmcError) => code,
    );
    const late = new Promise<string>((resolve) => setTimeout(() => resolve('held'), 1500));
    return (await Promise.race([waiting, late])) === 'held';
  }, 15_000);
  goOn();
  t.equal(await waiting, 'done');
});

t.test('an hour later a job is forgotten', async (t) => {
  const { fixture, alice, driveId } = await agentScene(t);
  const job = await followed(alice, await convert(alice, driveId));
  fixture.skewMs = 3_601_000;
  await t.rejects(wait(alice, job), { code: 'not-found' });
});
