/** The agent's daemon, told to stop once its log has all that a test waits for. */
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import type { HostBox } from './host-box.ts';

export interface Stopped {
  /** Every event of its log, to the end. */
  seen: ReadonlySet<string>;
  /** Its exit code, and the signal that ended it. */
  ended: [number | null, NodeJS.Signals | null];
}

export async function daemonStoppedAfter(box: HostBox, events: readonly string[]): Promise<Stopped> {
  const child = await box.start(box.namespace, ['host-agent/main.ts', 'daemon', '--config', box.config]);
  const exited = once(child, 'exit');
  const seen = new Set<string>();
  for await (const line of createInterface({ input: child.stdout as Readable })) {
    seen.add((JSON.parse(line) as { event: string }).event);
    if (!child.killed && events.every((event) => seen.has(event))) child.kill('SIGTERM');
  }
  return { seen, ended: (await exited) as Stopped['ended'] };
}
