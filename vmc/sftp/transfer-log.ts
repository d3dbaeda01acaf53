/**
 * From what one sftp-server says to what goes into the audit log: a record for each transfer and change, as long as its person
 * has not used up what they may have recorded; from then on sums. Pure.
 */
import { type LogLine, parseLogLine } from './parse-log.ts';

export interface FileEvent {
  what: string;
  target: string;
  result: string;
}

export interface TransferLogDeps {
  /** Once more now, a record of its own? Counts it. */
  mayRecord: () => boolean;
  record: (event: FileEvent) => void;
}

interface Sum {
  count: number;
  bytes: number;
}

interface Pending extends FileEvent {
  /** Which sum it goes into when there is no record of its own. */
  sum: 'up' | 'down' | 'other';
  bytes: number;
}

/** Files that a session has open; sftp-server itself stops far below. */
const MAX_OPEN = 4096;

export class TransferLog {
  readonly #deps: TransferLogDeps;
  /** Waits for the line after it, which may say that it failed. */
  #pending: Pending | undefined;
  #opening: { name: string; writes: boolean } | undefined;
  /** By name, as often as it is open: whether it was opened to write. */
  readonly #open = new Map<string, boolean[]>();
  #opened = 0;
  #sums = noSums();

  constructor(deps: TransferLogDeps) {
    this.#deps = deps;
  }

  line(text: string): void {
    const line = parseLogLine(text);
    if (line.kind !== 'status') {
      this.settle();
      this.#take(line);
    } else this.#failed(line.text);
  }

  /** The line before has had its time to be followed by a failure: it went well. */
  settle(): void {
    if (this.#opening !== undefined) this.#remember(this.#opening);
    this.#opening = undefined;
    const pending = this.#pending;
    this.#pending = undefined;
    if (pending === undefined) return;
    if (this.#deps.mayRecord()) {
      const { what, target, result } = pending;
      this.#deps.record({ what, target, result });
      return;
    }
    const sum = this.#sums[pending.sum];
    sum.count++;
    sum.bytes += pending.bytes;
  }

  /** Nothing more is said: what is still open was cut, and how much of it had gone through nobody knows. */
  end(): void {
    this.settle();
    for (const [name, open] of this.#open)
      for (const writes of open) {
        this.#expect(writes ? 'up' : 'down', writes ? 'file.upload' : 'file.download', `some bytes ${name}`);
        if (this.#pending !== undefined) this.#pending.result = 'cut';
        this.settle();
      }
    this.#open.clear();
    this.#opened = 0;
    this.summarise();
  }

  /** Records what had no record of its own since the last time. */
  summarise(): void {
    const { up, down, other } = this.#sums;
    if (up.count + down.count + other.count === 0) return;
    this.#sums = noSums();
    const target = `${up.count} files up with ${up.bytes} bytes, ${down.count} files down with ${down.bytes} bytes, ${other.count} other records`;
    this.#deps.record({ what: 'file.summarised', target, result: 'ok' });
  }

  #take(line: Exclude<LogLine, { kind: 'status' }>): void {
    switch (line.kind) {
      case 'open':
        this.#opening = { name: line.name, writes: line.writes };
        return;
      case 'close':
        this.#closed(line);
        return;
      case 'change':
        this.#expect('other', `file.${line.what}`, line.target);
        return;
      case 'refused':
        this.#expect('other', 'file.refused', line.request);
        return;
      case 'unclear':
        this.#expect('other', 'file.unclear', line.text);
        return;
      case 'noise':
        return;
      default:
        line satisfies never;
    }
  }

  #closed({ name, read, written, forced }: Extract<LogLine, { kind: 'close' }>): void {
    const writes = this.#forget(name);
    const end = (sum: 'up' | 'down', bytes: number) => {
      this.settle();
      this.#expect(sum, sum === 'up' ? 'file.upload' : 'file.download', `${bytes} bytes ${name}`, bytes);
      // Nobody closed it: the session ended, and with it perhaps the transfer half way.
      if (forced && this.#pending !== undefined) this.#pending.result = 'cut';
    };
    if (read > 0) end('down', read);
    if (written > 0) end('up', written);
    if (read === 0 && written === 0 && writes !== undefined) end(writes ? 'up' : 'down', 0);
  }

  #expect(sum: Pending['sum'], what: string, target: string, bytes = 0): void {
    this.#pending = { sum, what, target, bytes, result: 'ok' };
  }

  #failed(status: string): void {
    const opening = this.#opening;
    this.#opening = undefined;
    if (opening !== undefined) this.#expect('other', 'file.open', opening.name);
    if (this.#pending !== undefined) this.#pending.result = status;
    this.settle();
  }

  #remember({ name, writes }: { name: string; writes: boolean }): void {
    if (this.#opened >= MAX_OPEN) return;
    this.#opened++;
    const open = this.#open.get(name);
    if (open === undefined) this.#open.set(name, [writes]);
    else open.push(writes);
  }

  #forget(name: string): boolean | undefined {
    const open = this.#open.get(name);
    const writes = open?.pop();
    if (writes === undefined) return undefined;
    this.#opened--;
    if (open?.length === 0) this.#open.delete(name);
    return writes;
  }
}

const noSums = (): Record<Pending['sum'], Sum> => ({
  up: { count: 0, bytes: 0 },
  down: { count: 0, bytes: 0 },
  other: { count: 0, bytes: 0 },
});
