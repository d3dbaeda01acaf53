import { type ChildProcess, spawn } from 'node:child_process';
import { chmodSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { Writable } from 'node:stream';
import t from 'tap';
import { makeBackendProgram } from '../../../backend/cli.ts';
import { BackendClient } from '../../../shared/backend-client/client.ts';
import { runProgram } from '../../../shared/cli/program.ts';
import { generateIdentity } from '../../../shared/identity/identity.ts';
import { routes } from '../../../shared/rest-api/index.ts';

const MAIN = new URL('../../../backend/main.ts', import.meta.url).pathname;

interface Result {
  code: number;
  stdout: string;
  stderr: string;
}

/** The command in this process: starting Node for each takes its time. */
async function backend(...args: string[]): Promise<Result> {
  const out = { stdout: '', stderr: '' };
  const into = (name: keyof typeof out) =>
    new Writable({
      write(chunk: Buffer, _encoding, done) {
        out[name] += chunk.toString();
        done();
      },
    });
  const io = { stdout: into('stdout'), stderr: into('stderr') };
  const code = await runProgram(makeBackendProgram({ io, untilStopped: async () => {} }), args, io);
  return { code, ...out };
}

/** The daemon as a process, with its lines as they come. */
function daemon(config: string): { child: ChildProcess; line(match: RegExp): Promise<string> } {
  const child = spawn(process.execPath, [MAIN, 'daemon', '--config', config], { stdio: ['ignore', 'pipe', 'inherit'] });
  const lines: string[] = [];
  const waiting: { match: RegExp; resolve(line: string): void }[] = [];
  createInterface({ input: child.stdout as NodeJS.ReadableStream }).on('line', (line) => {
    lines.push(line);
    for (const it of waiting) if (it.match.test(line)) it.resolve(line);
  });
  return {
    child,
    line: (match) =>
      new Promise((resolve, reject) => {
        const found = lines.find((line) => match.test(line));
        if (found !== undefined) return resolve(found);
        waiting.push({ match, resolve });
        child.once('exit', (code) => reject(new Error(`it ended with ${code} before it said ${match}`)));
      }),
  };
}

t.test('the daemon and its commands, as an administrator uses them', async (t) => {
  const folder = t.testdir({});
  const stateDir = join(folder, 'state');
  const config = join(folder, 'backend.toml');
  const text = `publicUrl = "https://127.0.0.1:8443"\nstateDir = "${stateDir}"\n`;
  writeFileSync(config, `${text}[listen]\naddress = "127.0.0.1"\nport = 0\n`);

  const early = await backend('pin', '--config', config);
  t.match(early, { code: 66, stderr: /backend init/ });
  const { child, line } = daemon(config);
  t.teardown(() => child.kill('SIGKILL'));
  const listening = JSON.parse(await line(/"listening"/));
  const code = (await line(/^First account: /)).split(' --code ')[1] ?? '';
  t.equal(statSync(stateDir).mode & 0o777, 0o700);
  for (const name of ['server.pem', 'backend.sqlite', 'backend.sqlite-wal'])
    t.equal(statSync(join(stateDir, name)).mode & 0o777, 0o600, name);

  const pin = await backend('pin', '--config', config);
  t.equal(pin.stdout, `${listening.pin}\n`);
  const newer = await backend('account', 'code', '--json', '--config', config);
  const client = new BackendClient({ url: listening.url, pin: listening.pin });
  t.teardown(() => client.close());
  const identity = generateIdentity();
  await t.rejects(client.claim(identity, 'alice', code), { code: 'unauthenticated' }, 'the newer code replaced it');
  await client.claim(identity, 'alice', JSON.parse(newer.stdout).code);
  t.match(await backend('account', 'code', '--config', config), { code: 69, stderr: /accounts already/ });
  await client.signIn(identity);
  await client.call(routes.hostAdd, { params: {}, body: { name: 'vmhost' } });

  const users = await backend('user', 'list', '--config', config);
  t.match(users.stdout, /alice +super-admin +user-[0-9a-f]{12} +SHA256:/);
  const hosts = JSON.parse((await backend('host', 'list', '--json', '--config', config)).stdout);
  t.match(hosts, { hosts: [{ name: 'vmhost', enrolled: false }] });
  const audit = JSON.parse((await backend('audit', '--json', '--config', config)).stdout);
  t.match(
    audit.entries.map((it: { action: string; result: string }) => `${it.action} ${it.result}`),
    ['account.code ok', 'account.code ok', 'claim ok', 'signIn ok', 'hostAdd ok'],
  );
  t.match(await backend('audit', '--last', '0', '--config', config), { code: 64 });

  const exited = new Promise((resolve) => child.once('exit', (status, signal) => resolve([status, signal])));
  child.kill('SIGTERM');
  t.strictSame(await exited, [0, null], 'ends by itself: no handle is left open');
});

t.test('init, unknown keys, a key that others may read', async (t) => {
  const folder = t.testdir({});
  const config = join(folder, 'backend.toml');
  const text = `publicUrl = "https://10.0.0.1:8443"\nstateDir = "${join(folder, 'state')}"\n`;
  writeFileSync(config, text);
  const made = JSON.parse((await backend('init', '--json', '--config', config)).stdout);
  t.match(made, { made: true, pin: /^[0-9a-f]{64}$/ });
  t.match(JSON.parse((await backend('init', '--json', '--config', config)).stdout), { made: false, pin: made.pin });
  writeFileSync(config, `${text}[relay]\ncapture = "/tmp/x"\n`);
  t.match(await backend('pin', '--config', config), { code: 78, stderr: /unknown key capture/ });
  t.match(await backend('pin', '--config', join(folder, 'none.toml')), { code: 78, stderr: /--config/ });
  writeFileSync(config, text);
  chmodSync(join(folder, 'state', 'server.pem'), 0o644);
  t.match(await backend('pin', '--config', config), { code: 78, stderr: /chmod 600/ });
});
