/** The firewall as it is on this machine: read, compare, apply. iptables-restore(8), ipset(8). */
import { VmcError } from '../../shared/errors.ts';
import { CommandError, run } from '../../shared/run.ts';
import { driftOf, type FirewallPlan, ipsetText, parseSave, restoreText, type SavedRules } from './plan.ts';

const TIMEOUT_MS = 30_000;
/** Others (Docker, firewalld) hold the xtables lock for moments only. */
const LOCK_SECONDS = '10';

export interface ObservedFirewall {
  ipv4: SavedRules;
  ipv6: SavedRules;
  ipsets: string;
}

export async function observeFirewall(): Promise<ObservedFirewall> {
  const [ipv4, ipv6, ipsets] = await Promise.all([
    run({ file: 'iptables-save', args: [], timeoutMs: TIMEOUT_MS }),
    run({ file: 'ip6tables-save', args: [], timeoutMs: TIMEOUT_MS }),
    run({ file: 'ipset', args: ['save', '-sorted'], timeoutMs: TIMEOUT_MS }),
  ]);
  return { ipv4: parseSave(ipv4.stdout), ipv6: parseSave(ipv6.stdout), ipsets: ipsets.stdout };
}

export async function firewallDrift(plan: FirewallPlan): Promise<string[]> {
  return driftOf(plan, await observeFirewall());
}

/**
 * Makes the rules be as planned; applying twice changes nothing. IPv6 first and sets before the rules that name them:
 * stopping at any point leaves more closed, never more open.
 * @returns the drift it found and corrected.
 */
export async function applyFirewall(plan: FirewallPlan): Promise<string[]> {
  const observed = await observeFirewall();
  const drift = driftOf(plan, observed);
  if (drift.length === 0) return drift;
  await restore('ip6tables-restore', restoreText(plan.ipv6, observed.ipv6));
  await run({ file: 'ipset', args: ['-exist', 'restore'], stdin: ipsetText(plan.sets), timeoutMs: TIMEOUT_MS });
  await restore('iptables-restore', restoreText(plan.ipv4, observed.ipv4));
  const left = await firewallDrift(plan);
  if (left.length > 0)
    throw new VmcError(
      'command-failed',
      `The firewall is not as it should be after it was applied: ${left.slice(0, 3).join('; ')}.`,
      'Does another program write to the chains that begin with VMC-?',
    );
  return drift;
}

async function restore(file: string, text: string): Promise<void> {
  try {
    await run({ file, args: ['--noflush', '--wait', LOCK_SECONDS], stdin: text, timeoutMs: TIMEOUT_MS });
  } catch (error) {
    if (error instanceof CommandError && error.reason === 'not-found')
      throw new VmcError('command-failed', `${file} is not installed.`, 'Install the Debian package iptables.');
    throw error;
  }
}
