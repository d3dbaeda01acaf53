/**
 * The researcher's own program in the demo's VM: a web server on 127.0.0.1:8080 that only the tunnel reaches.
 * It stands for whatever people run in their VMs. It runs as root, so that it can show what root in the VM sees.
 */
import { spawn, spawnSync } from 'node:child_process';
import { createHash, randomFillSync } from 'node:crypto';
import {
  closeSync,
  fsyncSync,
  openSync,
  readdirSync,
  readFileSync,
  statSync,
  unlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { connect } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

const MIB = 1024 * 1024;
const BLOB_MIB = 64;
let blob: Buffer | undefined;

/** Writes `mib` MiB of random data and makes sure that they are on the drive. */
function writeRandom(path: string, mib: number): void {
  const block = Buffer.allocUnsafe(4 * MIB);
  const file = openSync(path, 'w');
  try {
    for (let written = 0; written < mib; written += 4) writeSync(file, randomFillSync(block));
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}

/** Command line and environment of every process, as text. */
function processes(): string {
  const parts: string[] = [];
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name)))
    for (const what of ['cmdline', 'environ'])
      try {
        parts.push(readFileSync(`/proc/${pid}/${what}`, 'latin1'));
      } catch {
        // the process ended meanwhile
      }
  return parts.join('\n');
}

function logs(): Buffer {
  const journal = spawnSync('/usr/bin/journalctl', ['--no-pager', '--output=short-monotonic'], { maxBuffer: 64 * MIB });
  const audit = readFileSync('/var/lib/vmc/audit.log');
  return Buffer.concat([journal.stdout, journal.stderr, audit]);
}

/** Can this VM open a TCP connection there within two seconds? */
function canConnect(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, timeout: 2000 });
    const done = (reached: boolean) => {
      socket.destroy();
      resolve(reached);
    };
    socket
      .once('connect', () => done(true))
      .once('error', () => done(false))
      .once('timeout', () => done(false));
  });
}

/** Starts it and waits until it listens, half a minute at most. */
async function startUnit(unit: string, port: number): Promise<boolean> {
  if (spawnSync('/usr/bin/systemctl', ['start', unit]).status !== 0) return false;
  const deadline = Date.now() + 30_000;
  // A program that forks before it listens tells systemd nothing about when it does.
  while (!(await canConnect('127.0.0.1', port))) {
    if (Date.now() > deadline) return false;
    await delay(100);
  }
  return true;
}

interface Exec {
  argv: [string, ...string[]];
  /** base64 */
  stdin: string;
  timeoutMs: number;
}

function execSchema(it: Partial<Exec>): Exec {
  const [file, ...args] = it.argv ?? [];
  if (file === undefined) throw new Error('what is to be run?');
  return { argv: [file, ...args], stdin: it.stdin ?? '', timeoutMs: it.timeoutMs ?? 120_000 };
}

/** A command as root. Output beyond 8 MiB is cut off. */
function exec({ argv: [file, ...args], stdin, timeoutMs }: Exec): Promise<object> {
  const env = { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C', HOME: '/root' };
  const child = spawn(file, args, { env, timeout: timeoutMs, killSignal: 'SIGKILL' });
  child.stdin.on('error', () => {}); // it may not want it
  child.stdin.end(Buffer.from(stdin, 'base64'));
  const kept = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const)
    child[name].setEncoding('utf8').on('data', (text: string) => {
      if (kept[name].length < 8 * MIB) kept[name] += text;
    });
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => resolve({ code, signal, ...kept }));
  });
}

async function body(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

const sha256 = (data: Buffer) => createHash('sha256').update(data).digest('hex');

async function answer(request: IncomingMessage): Promise<Buffer | string | object> {
  const url = new URL(request.url ?? '/', 'http://vm');
  const path = url.searchParams.get('path') ?? '';
  switch (`${request.method} ${url.pathname}`) {
    case 'GET /':
      return 'The VM answers.\n';
    case 'POST /blob':
      blob = randomFillSync(Buffer.allocUnsafe(BLOB_MIB * MIB));
      return { sha256: sha256(blob) };
    case 'GET /blob':
      return blob ?? '';
    case 'POST /random':
      writeRandom(path, Number(url.searchParams.get('mib')));
      return { bytes: statSync(path).size };
    case 'PUT /file':
      writeFileSync(path, await body(request), { flush: true });
      return { sha256: sha256(readFileSync(path)) };
    case 'GET /file':
      return readFileSync(path);
    case 'DELETE /file':
      unlinkSync(path);
      return {};
    case 'GET /processes':
      return Buffer.from(processes(), 'latin1');
    case 'GET /logs':
      return logs();
    case 'POST /plant-in-log':
      process.stdout.write(`planted: ${(await body(request)).toString('utf8')}\n`);
      return {};
    case 'POST /plant-in-process':
      spawn('/bin/sleep', ['600'], {
        env: { PLANTED: (await body(request)).toString('utf8') },
        stdio: 'ignore',
      }).unref();
      return {};
    case 'GET /reach': {
      const reached = await canConnect(url.searchParams.get('host') ?? '', Number(url.searchParams.get('port')));
      return { reached };
    }
    case 'POST /flush-firewall':
      return { status: spawnSync('/usr/sbin/nft', ['flush', 'ruleset']).status };
    case 'POST /start-unit':
      return { listening: await startUnit(url.searchParams.get('unit') ?? '', Number(url.searchParams.get('port'))) };
    case 'POST /exec':
      return exec(execSchema(JSON.parse((await body(request)).toString('utf8'))));
    case 'POST /kill-vmc':
      return { status: spawnSync('/usr/bin/systemctl', ['kill', '--signal=KILL', 'vmc.service']).status };
    default:
      throw new Error('no such page');
  }
}

createServer((request: IncomingMessage, response: ServerResponse) => {
  answer(request).then(
    (value) => response.end(Buffer.isBuffer(value) || typeof value === 'string' ? value : JSON.stringify(value)),
    (error: Error) => {
      response.statusCode = 500;
      response.end(error.message);
    },
  );
}).listen({ fd: 3 }); // the socket that systemd opened (sd_listen_fds(3))
