/** Applies the VM's firewall, and again when what it depends on has changed. A failure is the caller's to stop for. */
import { lookup } from 'node:dns/promises';
import { isIPv4 } from 'node:net';
import { OneByOne } from '../../shared/channel/one-by-one.ts';
import { VmcError } from '../../shared/errors.ts';
import { readIfThere } from '../../shared/files.ts';
import { run } from '../../shared/run.ts';
import { gateways, nameservers } from './parse-network.ts';
import type { AllowedTarget } from './parse-target.ts';
import { type FirewallFacts, planRules } from './plan-rules.ts';

export interface FirewallDeps {
  backendUrl: string;
  /** Relays that the VM knew of when it last ran. */
  relayUrls?: readonly string[];
  tunnelPort: number;
  allow: readonly AllowedTarget[];
}

/** The uplink resolvers: systemd-resolved's own list first, as /etc/resolv.conf may point to its stub. */
const RESOLV_CONFS = ['/run/systemd/resolve/resolv.conf', '/etc/resolv.conf'];
const NFT_TIMEOUT_MS = 30_000;

export class Firewall {
  readonly #deps: FirewallDeps;
  /** By URL: the backend, and relays. */
  readonly #servers = new Map<string, Server>();
  #applied: string | undefined;
  /** What the kernel made of them, once `repair` has looked. */
  #loaded: string | undefined;
  /** Two at once could leave the older rules in the kernel and the newer ones in `#applied`. */
  readonly #changes = new OneByOne();

  constructor(deps: FirewallDeps) {
    this.#deps = deps;
    this.setRelays(deps.relayUrls ?? []);
  }

  /** Where the VM may go from the next refresh on: the backend and these. */
  setRelays(urls: readonly string[]): void {
    const wanted = new Set([this.#deps.backendUrl, ...urls]);
    for (const known of this.#servers.keys()) if (!wanted.has(known)) this.#servers.delete(known);
    for (const url of wanted) if (!this.#servers.has(url)) this.#servers.set(url, serverOf(url));
  }

  /** The rules as they should be now. */
  async plan(): Promise<string> {
    return planRules(await this.#facts());
  }

  /** Loads the rules, if they are not the ones loaded last. @throws VmcError 'command-failed': nothing was changed then. */
  refresh(): Promise<void> {
    return this.#changes.run(() => this.#refresh());
  }

  /**
   * As `refresh`, and loads them again when others took them away or changed them: `nft flush ruleset` by another service
   * must not leave the VM open. @returns whether that was so.
   */
  repair(): Promise<boolean> {
    return this.#changes.run(async () => {
      const now = await loadedRules();
      const same = now !== undefined && (this.#loaded === undefined || now === this.#loaded);
      const meddled = this.#applied !== undefined && !same;
      if (meddled) this.#applied = undefined;
      await this.#refresh();
      this.#loaded ??= await loadedRules();
      return meddled;
    });
  }

  async #refresh(): Promise<void> {
    const rules = await this.plan();
    if (rules === this.#applied) return;
    await loadRules(rules);
    this.#applied = rules;
    this.#loaded = undefined;
  }

  /**
   * For a backend or relay that is given by name: asks where it is now, and lets the VM go there.
   * @throws VmcError 'unreachable' when the name does not resolve.
   */
  async admit(url: string): Promise<void> {
    await this.refresh(); // DNS may have moved
    const server = this.#servers.get(url) ?? serverOf(url);
    this.#servers.set(url, server);
    const { host } = server;
    if (isIPv4(host)) return;
    try {
      server.addresses = (await lookup(host, { family: 4, all: true })).map(({ address }) => address);
    } catch (error) {
      throw new VmcError(
        'unreachable',
        `The name ${host} does not resolve.`,
        'Is the network up, and does the VM host answer DNS for this name?',
        { cause: error },
      );
    }
    await this.refresh();
  }

  /** The backend has to resolve; relays whose names do not are left for later. */
  async admitAll(): Promise<void> {
    await this.admit(this.#deps.backendUrl);
    for (const url of this.#servers.keys()) if (url !== this.#deps.backendUrl) await this.admit(url).catch(() => {});
  }

  async #facts(): Promise<FirewallFacts> {
    const texts = await Promise.all(RESOLV_CONFS.map(readIfThere));
    const routes = (await readIfThere('/proc/net/route')) ?? '';
    return {
      tunnelPort: this.#deps.tunnelPort,
      servers: [...this.#servers.values()],
      resolvers: [...new Set([...texts.flatMap((text) => nameservers(text ?? '')), ...gateways(routes)])],
      allow: this.#deps.allow,
    };
  }
}

interface Server {
  host: string;
  port: number;
  addresses: readonly string[];
}

function serverOf(url: string): Server {
  const { hostname, port } = new URL(url);
  return { host: hostname, port: port === '' ? 443 : Number(port), addresses: isIPv4(hostname) ? [hostname] : [] };
}

/** One transaction: all of it, or nothing. */
export async function loadRules(rules: string): Promise<void> {
  await run({ file: 'nft', args: ['-f', '-'], stdin: rules, timeoutMs: NFT_TIMEOUT_MS });
}

/** The table as the kernel has it, or undefined when there is none. @throws VmcError when that cannot be found out. */
export async function loadedRules(): Promise<string | undefined> {
  const tables = await run({ file: 'nft', args: ['list', 'tables', 'inet'], timeoutMs: NFT_TIMEOUT_MS });
  if (!tables.stdout.split('\n').includes('table inet vmc')) return undefined;
  return (await run({ file: 'nft', args: ['list', 'table', 'inet', 'vmc'], timeoutMs: NFT_TIMEOUT_MS })).stdout;
}
