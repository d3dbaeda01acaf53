/** `backend relay` as a process of its own, on loopback; can be killed and started again at the same place. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

const MAIN = new URL('../../../backend/main.ts', import.meta.url).pathname;

export class RelayProcess {
  readonly #folder: string;
  readonly #config: string;
  #child: ChildProcess | undefined;
  port = 0;
  metricsPort = 0;
  pin = '';

  /** @param config more of relay.toml. */
  constructor(folder: string, ticketKey: string, config = '') {
    this.#folder = folder;
    this.#config = `ticketKey = "${ticketKey}"\nstateDir = "${join(folder, 'state')}"\n${config}\n`;
  }

  get url(): string {
    return `https://127.0.0.1:${this.port}`;
  }

  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  async start(): Promise<this> {
    await mkdir(this.#folder, { recursive: true });
    const file = join(this.#folder, 'relay.toml');
    const places = `[listen]\naddress = "127.0.0.1"\nport = ${this.port}\n[metrics]\nport = ${this.metricsPort}\n`;
    await writeFile(file, this.#config + places);
    const child = spawn(process.execPath, [MAIN, 'relay', '--config', file], { stdio: ['ignore', 'pipe', 'inherit'] });
    this.#child = child;
    const lines = createInterface({ input: child.stdout });
    for await (const line of lines) {
      const said = JSON.parse(line) as { event: string; port: number; metricsPort: number; pin: string };
      if (said.event !== 'listening') continue;
      Object.assign(this, { port: said.port, metricsPort: said.metricsPort, pin: said.pin });
      break;
    }
    child.stdout.resume();
    if (this.port === 0) throw new Error('the relay did not start');
    return this;
  }

  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<number | null> {
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return null;
    const ended = once(child, 'exit');
    child.kill(signal);
    return (await ended)[0] as number | null;
  }

  async metrics(): Promise<string> {
    const answer = await fetch(`http://127.0.0.1:${this.metricsPort}/metrics`);
    return answer.text();
  }

  /** Resident memory in bytes. */
  async rss(): Promise<number> {
    const status = await readFile(`/proc/${this.pid}/status`, 'utf8');
    return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1]) * 1024;
  }
}
