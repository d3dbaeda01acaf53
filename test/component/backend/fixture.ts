/** A whole backend on a loopback port, with people and a fake host, for one test. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type RunningBackend, startBackend } from '../../../backend/backend.ts';
import { type ConfigInput, configSchema } from '../../../backend/config.ts';
import { BackendClient } from '../../../shared/backend-client/client.ts';
import { generateIdentity, type Identity } from '../../../shared/identity/identity.ts';
import type { Log } from '../../../shared/log.ts';
import { routes } from '../../../shared/rest-api/index.ts';
import { FakeAgent } from './fake-agent.ts';

export interface Person {
  identity: Identity;
  client: BackendClient;
  userId: string;
}

export interface LogLine {
  event: string;
  fields: Record<string, unknown> | undefined;
}

interface Teardown {
  teardown(work: () => Promise<void> | void): void;
}

export class Fixture {
  readonly stateDir: string;
  readonly logged: LogLine[] = [];
  readonly announced: string[] = [];
  /** Added to the clock. */
  skewMs = 0;
  backend: Omit<RunningBackend, 'ask'> = { url: '', pin: '', metricsPort: undefined, close: async () => {} };
  #config: Partial<ConfigInput> = {};
  readonly #clients: BackendClient[] = [];
  readonly #agents: FakeAgent[] = [];

  constructor(stateDir: string = mkdtempSync(join(tmpdir(), 'vmc-backend-test-'))) {
    this.stateDir = stateDir;
  }

  /** @param config may depend on the backend's state folder. */
  static async start(
    t: Teardown,
    config: Partial<ConfigInput> | ((stateDir: string) => Promise<Partial<ConfigInput>>) = {},
  ): Promise<Fixture> {
    const fixture = new Fixture();
    t.teardown(() => fixture.close());
    fixture.#config = typeof config === 'function' ? await config(fixture.stateDir) : config;
    await fixture.startBackend();
    return fixture;
  }

  async startBackend(): Promise<void> {
    const log = (event: string, fields?: Record<string, unknown>) => void this.logged.push({ event, fields });
    const config = configSchema.parse({
      publicUrl: 'https://127.0.0.1:1',
      stateDir: this.stateDir,
      listen: { address: '127.0.0.1', port: 0 },
      endpoints: { address: '127.0.0.1', firstPort: 36000, lastPort: 36100 },
      ...this.#config,
    });
    this.backend = await startBackend(config, {
      log: { info: log, warn: log, error: log } satisfies Log,
      now: () => Date.now() + this.skewMs,
      announce: (line) => this.announced.push(line),
    });
  }

  client(pin = this.backend.pin): BackendClient {
    const client = new BackendClient({ url: this.backend.url, pin });
    this.#clients.push(client);
    return client;
  }

  /** Claims the first account and signs in. */
  async firstPerson(name = 'alice'): Promise<Person> {
    return this.#claim(name, this.announced.join().split(' --code ')[1] ?? '');
  }

  async invited(by: Person, name: string, role: 'user' | 'admin' = 'user'): Promise<Person> {
    const { code } = await by.client.call(routes.userInvite, { params: {}, body: { role } });
    return this.#claim(name, code);
  }

  async #claim(name: string, code: string): Promise<Person> {
    const identity = generateIdentity();
    const client = this.client();
    const { userId } = await client.claim(identity, name, code);
    await client.signIn(identity);
    return { identity, client, userId };
  }

  /** The same person on another device, or after the backend has started again. */
  async signedIn(person: Person): Promise<Person> {
    const client = this.client();
    await client.signIn(person.identity);
    return { ...person, client };
  }

  /** A host that is enrolled, linked and has reported. */
  async host(admin: Person, name = 'vmhost', agent = new FakeAgent()): Promise<{ agent: FakeAgent; hostId: string }> {
    const { hostId, enrolToken } = await admin.client.call(routes.hostAdd, { params: {}, body: { name } });
    const client = this.client();
    await client.enrolHost(agent.identity, hostId, new Uint8Array(Buffer.from(enrolToken, 'base64')), '127.0.0.1');
    await this.linkAgent(admin, agent, hostId);
    return { agent, hostId };
  }

  async linkAgent(admin: Person, agent: FakeAgent, hostId: string): Promise<void> {
    this.#agents.push(agent);
    await agent.link(this.client(), hostId);
    await until(async () => {
      const { hosts } = await admin.client.call(routes.hostList, { params: {}, body: {} });
      const host = hosts.find((it) => it.hostId === hostId);
      return host?.state === 'active' && host.report !== undefined;
    });
  }

  async vm(owner: Person, name: string): Promise<string> {
    const vm = await owner.client.call(routes.vmCreate, { params: {}, body: { name, image: 'debian-12' } });
    return vm.vmId;
  }

  async drive(owner: Person, name: string): Promise<string> {
    const drive = await owner.client.call(routes.driveCreate, { params: {}, body: { name, sizeBytes: 2 ** 30 } });
    return drive.driveId;
  }

  /** The VM enrols with the token from its bootstrap, as vmc does. */
  async enrol(agent: FakeAgent, vmId: string): Promise<Identity> {
    const token = agent.specs.find((it) => it.spec.vmId === vmId)?.bootstrap.enrolToken ?? new Uint8Array();
    const identity = generateIdentity();
    await this.client().enrolVm(identity, vmId, token);
    return identity;
  }

  async close(): Promise<void> {
    for (const agent of this.#agents) agent.unlink();
    for (const client of this.#clients) client.close();
    await this.backend.close();
    rmSync(this.stateDir, { recursive: true });
  }
}

/** Asks again until it holds, with a deadline: for what the other side learns by itself. */
export async function until(holds: () => Promise<boolean> | boolean, deadlineMs = 5000): Promise<void> {
  const end = performance.now() + deadlineMs;
  while (!(await holds())) {
    if (performance.now() > end) throw new Error('it did not come about in time');
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
