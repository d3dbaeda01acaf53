/** C3, C16: what a person has open ends when their rights shrink: the real daemon and real sockets, seen from both ends. */
import { once } from 'node:events';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import t from 'tap';
import { type WebSocket, WebSocket as WebSocketClient, WebSocketServer } from 'ws';
import { openStream } from '../../../connect/tunnel/open-stream.ts';
import { controlMethods } from '../../../shared/api/index.ts';
import { openChannel } from '../../../shared/channel/run-handshake.ts';
import { webSocketTransport } from '../../../shared/channel/websocket-transport.ts';
import { fingerprint } from '../../../shared/identity/fingerprint.ts';
import { generateIdentity, type Identity } from '../../../shared/identity/identity.ts';
import { publicIdentityToJson } from '../../../shared/identity/public-identity.ts';
import { certificateSha256, makeCertificate } from '../../../shared/net/certificate.ts';
import { RpcPeer } from '../../../shared/rpc/peer.ts';
import { ChannelServer } from '../../../vmc/channel-server/channel-server.ts';
import { runCli } from '../../../vmc/cli.ts';
import { makeDispatch } from '../../../vmc/dispatch.ts';
import type { Drives } from '../../../vmc/drives/drives.ts';
import { People } from '../../../vmc/people/people.ts';
import { RequestMemory } from '../../../vmc/requests/request-memory.ts';
import type { Tunnel } from '../../../vmc/tunnel/tunnel.ts';
import { setUp, Vmc } from './daemon-process.ts';
import { inNamespace } from './in-namespace.ts';

const REQUIRED_MS = 1000;
/** Unlike events.once: an error before it is what is expected. */
const closed = (stream: NodeJS.EventEmitter) => new Promise<void>((resolve) => stream.once('close', () => resolve()));

await inNamespace(import.meta.url, () => {
  t.test(
    'C16 removed, or with one right less: channel, grant and stream end within a second, at both ends',
    async (t) => {
      const inside = new Set<Socket>();
      const service = createServer((socket) => {
        inside.add(socket);
        socket.on('error', () => {});
        socket.pipe(socket);
      }).listen(0, '127.0.0.1');
      await once(service, 'listening');
      t.teardown(() => service.close());
      const { port } = service.address() as AddressInfo;
      const { owner, start, connect, audit, config } = await setUp(t, { ports: [port] });
      const vmc = start();
      await vmc.said(/"event":"parked"/);
      const admin = await connect(owner);
      const bob = generateIdentity();
      const person = fingerprint(bob.public.ed25519);
      const add = () =>
        admin.call(controlMethods.peopleAdd, {
          ...{ ed25519: bob.public.ed25519.toBase64(), name: 'bob', role: 'user', profile: 'desktop' },
        });

      /** A channel, a grant and a stream of bob's, in use. @returns what resolves when all of it is over, with the milliseconds of each. */
      const somethingOpen = async () => {
        const rpc = await connect(bob);
        const certificate = makeCertificate('device', 'clientAuth', 1, new Date());
        const { serverCertificateSha256 } = await rpc.call(controlMethods.tunnelOpen, {
          certificateSha256: certificateSha256(certificate.certificatePem),
        });
        const path = { host: '127.0.0.1', port: 22, certificate, serverCertificateSha256 };
        const { stream } = await openStream(path, port, new AbortController().signal);
        stream.on('error', () => {});
        const echo = once(stream, 'data');
        stream.resume().write('hello');
        await echo;
        const [insideEnd] = [...inside].slice(-1) as [Socket];
        const ends = [
          rpc.ended.then(
            () => {},
            () => {},
          ),
          closed(stream),
          closed(insideEnd),
        ];
        return async (act: () => Promise<unknown>) => {
          const began = performance.now();
          const times = ends.map((end) => end.then(() => performance.now() - began));
          await act();
          const took = await Promise.all(times);
          await t.rejects(openStream(path, port, new AbortController().signal), { code: /channel-closed|unreachable/ });
          await t.rejects(rpc.call(controlMethods.systemPing, { payload: 'x' }), { code: 'channel-closed' });
          return took;
        };
      };
      const endsWithinASecond = async (what: string, act: () => Promise<unknown>) => {
        const untilEnd = await somethingOpen();
        const took = (await untilEnd(act)).map(Math.round);
        t.ok(Math.max(...took) < REQUIRED_MS, `${what}: channel, device's and VM's end of the stream after ${took} ms`);
      };

      await admin.call(controlMethods.profileSet, { name: 'desktop', rights: ['ports', 'files', 'terminal'] });
      await add();
      await endsWithinASecond('the profile shrank', () =>
        admin.call(controlMethods.profileSet, { name: 'desktop', rights: ['ports', 'files'] }),
      );
      await endsWithinASecond('a right was taken', () =>
        admin.call(controlMethods.peopleChange, { person, rights: ['ports'] }),
      );
      await admin.call(controlMethods.peopleChange, { person, role: 'manager' });
      await endsWithinASecond('demoted', () =>
        admin.call(controlMethods.peopleChange, { person, role: 'user', profile: 'desktop' }),
      );
      await endsWithinASecond('removed', () => admin.call(controlMethods.peopleRemove, { person }));
      await t.rejects(connect(bob), { code: 'channel-closed' }, 'a closed door from then on');

      await add();
      const own = await connect(bob);
      t.match(await own.call(controlMethods.peopleLeave, {}), { version: Number }, 'who goes gets an answer');
      await own.ended.catch(() => {});

      await add();
      const growing = await connect(bob);
      await admin.call(controlMethods.peopleChange, { person, role: 'co-owner' });
      t.match(await growing.call(controlMethods.peopleMe, {}), { role: 'co-owner' }, 'who gains keeps the channel');

      const said = audit().map(({ what, result }) => `${what} ${result}`);
      t.equal(said.filter((line) => line === 'channel.close revoked').length, 5);
      const { version } = await admin.call(controlMethods.peopleList, {});
      t.match(
        audit()
          .filter(({ what }) => what === 'people.stored')
          .at(-1)?.target,
        new RegExp(`^version ${version} sha256 [0-9a-f]{64}$`),
      );
      const cli = async (...words: string[]) => {
        const stdout = new PassThrough();
        const deps = { stdout, stderr: new PassThrough(), daemon: async () => 0, credentialsFolder: undefined };
        t.equal(await runCli([...words, '--config', config], deps), 0);
        return String(stdout.read());
      };
      t.match(JSON.parse(await cli('people', 'list', '--json')), {
        version,
        people: [{ role: 'owner' }, { name: 'bob', role: 'co-owner' }],
      });
      t.match(await cli('people', 'profiles'), /desktop +files,ports +-/);
      await Promise.all([admin.close(), growing.close()]);

      await vmc.stop();
      const again = start();
      await again.said(/"event":"parked"/);
      const after = await connect(bob);
      t.match(
        await after.call(controlMethods.systemInfo, {}),
        { peopleVersion: version },
        'all of it outlives a restart',
      );
      await after.close();
    },
  );

  t.test('C3 two controllers on one folder: one learns its owner, the other names it and goes', async (t) => {
    const { dir, stateDir, start, owner, connect } = await setUp(t);
    const credentials = join(dir, 'credentials-eve');
    await mkdir(credentials);
    const bootstrap = JSON.parse(await readFile(join(dir, 'credentials/vmc.bootstrap'), 'utf8'));
    await writeFile(
      join(credentials, 'vmc.bootstrap'),
      JSON.stringify({ ...bootstrap, owner: publicIdentityToJson(generateIdentity().public) }),
    );
    const config = join(dir, 'eve.toml');
    await writeFile(config, `stateDir = "${stateDir}"\n[tunnel]\nport = 2222\n`);
    const first = start();
    await first.said(/owner SHA256:\S+, learned now/);
    const second = new Vmc(config, credentials);
    t.teardown(() => second.stop());
    t.equal(await second.exited, 75);
    t.match(second.output, /^vmc: Another vmc has the state folder .*: process \d+\./m);
    await first.said(/"event":"parked"/);
    const rpc = await connect(owner);
    await rpc.close();
    await first.stop();
    const third = new Vmc(config, credentials);
    t.teardown(() => third.stop());
    t.equal(await third.exited, 76, 'the folder is free, but its owner is learned');
    t.match(third.output, /this VM belongs to SHA256:/);
  });

  t.test(
    'C16 a call that runs is stopped, its channel is cut, and a handshake under way does not slip through',
    async (t) => {
      const [vm, owner, bob] = [generateIdentity(), generateIdentity(), generateIdentity()];
      const audit = {
        record: async () => {},
        refuse: async () => {},
        around: <T>(_event: unknown, work: () => Promise<T>) => work(),
      };
      const vmId = 'vm-0123456789ab';
      const people = await People.open({
        ...{ stateDir: t.testdir(), identity: vm, vmId, owner: owner.public.ed25519, clock: Date.now, audit },
        onProblem: (problem) => t.fail(problem),
      });
      let goesOnceAsked = false;
      let gone = false;
      const running = Promise.withResolvers<AbortSignal>();
      const drives = {
        async format(_params: unknown, { signal }: { signal: AbortSignal }) {
          running.resolve(signal);
          await once(signal, 'abort');
          throw signal.reason;
        },
      };
      const requests = new RequestMemory();
      t.teardown(() => requests.close());
      const channels = new ChannelServer({
        ...{ identity: vm, audit, onInternalError: () => t.fail('no defect') },
        rightsOf: (who) => {
          const rights = gone ? undefined : people.rightsOf(who);
          if (goesOnceAsked) gone = true;
          return rights;
        },
        isOwner: (who) => fingerprint(who) === OWNER,
        greetingFor: (who) => requests.greeting(who),
        handleFor: makeDispatch({
          ...{ audit, people, requests, vmId, tunnel: {} as Tunnel, info: () => ({}) as never },
          auditLog: {} as never,
          drives: async () => drives as unknown as Drives,
          media: async () => ({}) as never,
        }),
      });
      people.onShrunk((who) => requests.stop(who));
      people.onShrunk((who) => void channels.cut(who));
      const server = new WebSocketServer({ port: 0, host: '127.0.0.1' });
      server.on('connection', (socket: WebSocket) => void channels.serve(socket));
      await once(server, 'listening');
      t.teardown(async () => {
        for (const socket of server.clients) socket.terminate();
        await channels.close();
        server.close();
      });
      const connect = async (who: Identity) => {
        const socket = new WebSocketClient(`ws://127.0.0.1:${(server.address() as AddressInfo).port}`);
        await once(socket, 'open');
        const transport = webSocketTransport(socket);
        return new RpcPeer(
          await openChannel(transport, { identity: who, peer: vm.public.ed25519, purpose: 'control' }),
        );
      };
      const person = fingerprint(bob.public.ed25519);
      const OWNER = fingerprint(owner.public.ed25519);
      const add = { kind: 'add', ed25519: bob.public.ed25519, name: 'bob', role: 'manager' } as const;
      await people.change(OWNER, add);
      const rpc = await connect(bob);
      const key = Buffer.alloc(32, 1).toString('base64');
      const call = rpc.call(controlMethods.driveFormat, { driveId: 'drv0123456789abcdef', key });
      const answer = call.then(
        () => 'answered',
        (error: { code: string }) => error.code,
      );
      const signal = await running.promise;
      t.equal(signal.aborted, false);
      const began = performance.now();
      const stopped = once(signal, 'abort').then(() => performance.now() - began);
      await people.change(OWNER, { kind: 'change', person, role: 'user', rights: ['files'] });
      const ms = Math.round(await stopped);
      t.ok(ms < REQUIRED_MS, `the call was stopped after ${ms} ms`);
      t.match(await answer, /channel-closed|forbidden/);
      t.equal(channels.size, 0);

      goesOnceAsked = true; // let in by the handshake, and removed before its channel is served
      const late = connect(bob).then((peer) => peer.call(controlMethods.peopleMe, {}));
      const ended = late.then(
        ({ role }) => role,
        (error: { code: string }) => error.code,
      );
      t.match(await ended, /channel-closed/, 'whoever was in the middle of the handshake is not in afterwards');
      t.equal(channels.size, 0);
    },
  );
});
