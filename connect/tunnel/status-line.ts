/** Keeps the line of status on a terminal up to date, at most twice a second; with --json says changes of the way instead. */
import { printable } from '../../shared/run.ts';
import { type ConnectIo, isTerminal } from '../io.ts';
import type { ForwardedPort } from './open-tunnel.ts';
import { type PortStatus, statusText } from './status-text.ts';
import type { PathState } from './stream-pool.ts';

const REDRAW_MS = 500;

export class StatusLine {
  readonly #io: ConnectIo;
  readonly #vmName: string;
  readonly #json: boolean;
  #state: PathState = 'connected';
  #timer: NodeJS.Timeout | undefined;
  #shown = '';

  constructor(io: ConnectIo, vmName: string, json: boolean) {
    this.#io = io;
    this.#vmName = vmName;
    this.#json = json;
  }

  state(state: PathState, why?: string): void {
    if (state === this.#state) return;
    this.#state = state;
    if (this.#json) this.#io.stdout.write(`${JSON.stringify({ event: state, vm: this.#vmName, why })}\n`);
  }

  /** Draws from here on. Nothing on what is no terminal. */
  start(ports: readonly ForwardedPort[]): void {
    const { stderr } = this.#io;
    if (!isTerminal(stderr)) return;
    const look = (): PortStatus[] =>
      ports.map((each) => ({ localPort: each.port, vmPort: each.vmPort, ...each.counts() }));
    let before = look();
    const draw = () => {
      const now = look();
      const columns = (stderr as { columns?: number }).columns ?? 80;
      const line = statusText(printable(this.#vmName), this.#state, now, before, REDRAW_MS / 1000, columns);
      before = now;
      if (line === this.#shown) return;
      this.#shown = line;
      stderr.write(`\r\x1b[K${line}`);
    };
    draw();
    this.#timer = setInterval(draw, REDRAW_MS).unref();
  }

  /** Removes the line. */
  end(): void {
    clearInterval(this.#timer);
    if (this.#shown !== '') this.#io.stderr.write('\r\x1b[K');
    this.#shown = '';
  }
}
