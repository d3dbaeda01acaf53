/** The machine's own Debian mirror, so that an image is made from where this machine gets its packages. */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { readIfThere } from '../shared/files.ts';
import { run } from '../shared/run.ts';

/** One-line (`sources.list`) entries for a suite and its updates; anything else in the file is left out. */
export function oneLineSources(text: string, suite: string): string[] {
  return text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => /^deb\s/.test(line) && isOfSuite(line.replace(/\[[^\]]*\]/, '').split(/\s+/)[2], suite));
}

/** The same from deb822 (`*.sources`) stanzas, written as one-line entries. See sources.list(5). */
export function deb822Sources(text: string, suite: string): string[] {
  const lines: string[] = [];
  for (const stanza of text.split(/\n\s*\n/)) {
    const fields = new Map<string, string[]>();
    for (const line of stanza.split('\n')) {
      const match = /^([A-Za-z-]+):\s*(.*)$/.exec(line);
      if (match?.[1] !== undefined && match[2] !== undefined)
        fields.set(
          match[1].toLowerCase(),
          match[2].split(/\s+/).filter((word) => word !== ''),
        );
    }
    const get = (name: string): string[] => fields.get(name) ?? [];
    if (!get('types').includes('deb') || get('enabled')[0] === 'no') continue;
    const [keyring] = get('signed-by');
    const options = keyring?.startsWith('/') === true ? `[signed-by=${keyring}] ` : '';
    for (const uri of get('uris'))
      for (const found of get('suites').filter((word) => isOfSuite(word, suite)))
        lines.push(`deb ${options}${uri} ${found} ${get('components').join(' ')}`);
  }
  return lines;
}

const isOfSuite = (word: string | undefined, suite: string): boolean =>
  word !== undefined && [suite, `${suite}-updates`, `${suite}-security`].includes(word);

/**
 * Entries of this machine's apt for the suite. Empty when it has none (another distribution): mmdebstrap then uses
 * Debian's own mirror.
 */
export async function machineSources(suite: string, etcApt = '/etc/apt'): Promise<string[]> {
  const found = oneLineSources((await readIfThere(join(etcApt, 'sources.list'))) ?? '', suite);
  const parts = await readdir(join(etcApt, 'sources.list.d')).catch(() => []);
  for (const name of parts.sort()) {
    const text = (await readIfThere(join(etcApt, 'sources.list.d', name))) ?? '';
    if (name.endsWith('.sources')) found.push(...deb822Sources(text, suite));
    else if (name.endsWith('.list')) found.push(...oneLineSources(text, suite));
  }
  return [...new Set(found)];
}

/** The machine's proxy settings for apt, as `Acquire::http::Proxy "…"` lines. */
export async function machineProxies(): Promise<string[]> {
  const { stdout } = await run({
    file: 'apt-config',
    args: ['dump', '--no-empty', '--format', '%f "%v";%n', 'Acquire::http::Proxy', 'Acquire::https::Proxy'],
    timeoutMs: 10_000,
  });
  return stdout.split('\n').filter((line) => line !== '');
}
