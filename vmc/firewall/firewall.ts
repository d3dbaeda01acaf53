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
  tunnelPort: number;
  allow: readonly AllowedTarget[];
}

/** The uplink resolvers: systemd-resolved's own list first, as /etc/resolv.conf may point to its stub. */
const RESOLV_CONFS = ['/run/systemd/resolve/resolv.conf', '/etc/resolv.conf'];
const NFT_TIMEOUT_MS = 30_000;

export class Firewall {
  readonly #deps: FirewallDeps;
  readonly #host: string;
  readonly #port: number;
  #addresses: readonly string[];
  #applied: string | undefined;
  /** What the kernel made of them, once `repair` has looked. */
  #loaded: string | undefined;
  /** Two at once could leave the older rules in the kernel and the newer ones in `#applied`. */
  readonly #changes = new OneByOne();

  constructor(deps: FirewallDeps) {
    const url = new URL(deps.backendUrl);
    this.#deps = deps;
    this.#host = url.hostname;
    this.#port = url.port === '' ? 443 : Number(url.port);
    this.#addresses = isIPv4(this.#host) ? [this.#host] : [];
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
   * For a backend that is given by name: asks where it is now, and lets the VM go there.
   * @throws VmcError 'unreachable' when the name does not resolve.
   */
  async admitBackend(): Promise<void> {
    await this.refresh(); // DNS may have moved
    if (isIPv4(this.#host)) return;
    try {
      this.#addresses = (await lookup(this.#host, { family: 4, all: true })).map(({ address }) => address);
    } catch (error) {
      throw new VmcError(
        'unreachable',
        `The backend's name ${this.#host} does not resolve.`,
        'Is the network up, and does the VM host answer DNS for this name?',
        { cause: error },
      );
    }
    await this.refresh();
  }

  async #facts(): Promise<FirewallFacts> {
    const texts = await Promise.all(RESOLV_CONFS.map(readIfThere));
    const routes = (await readIfThere('/proc/net/route')) ?? '';
    return {
      tunnelPort: this.#deps.tunnelPort,
      backend: { addresses: this.#addresses, port: this.#port },
      resolvers: [...new Set([...texts.flatMap((text) => nameservers(text ?? '')), ...gateways(routes)])],
      allow: this.#deps.allow,
    };
  }
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
