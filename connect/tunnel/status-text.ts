/** The line of status of a tunnel: what flows where. Pure. */
import { humanBytes } from '../../shared/cli/program.ts';
import type { PathState } from './stream-pool.ts';

export interface PortStatus {
  localPort: number;
  vmPort: number;
  open: number;
  bytesUp: number;
  bytesDown: number;
}

/**
 * @param before the same ports `seconds` ago, for the rates. @param columns of the terminal: the line is cut to fit.
 */
export function statusText(
  vmName: string,
  state: PathState,
  ports: readonly PortStatus[],
  before: readonly PortStatus[],
  seconds: number,
  columns: number,
): string {
  const rate = (now: number, then: number) => `${humanBytes(Math.round(Math.max(0, now - then) / seconds))}/s`;
  const parts = ports.map((port, i) => {
    const last = before[i] ?? port;
    const up = `↑ ${humanBytes(port.bytesUp)} ${rate(port.bytesUp, last.bytesUp)}`;
    const down = `↓ ${humanBytes(port.bytesDown)} ${rate(port.bytesDown, last.bytesDown)}`;
    return `${port.localPort}→${port.vmPort}: ${port.open} open ${up} ${down}`;
  });
  const line = [`${vmName}: ${state}`, ...parts].join(' | ');
  return line.length < columns ? line : `${line.slice(0, Math.max(0, columns - 2))}…`;
}
