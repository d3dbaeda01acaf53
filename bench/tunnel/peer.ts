/** Something that carries TCP connections from one port of 127.0.0.1 to the service. */
import { descendantsOf, threadCpuSeconds } from '../machine.ts';

export interface Peer {
  /** What connects here reaches the service. */
  readonly port: number;
  /** Processes whose CPU time counts, theirs and their children's: at the VM's end and at the device's. */
  readonly server: readonly number[];
  readonly client: readonly number[];
}

export interface CpuSeconds {
  server: number;
  client: number;
}

/** CPU seconds so far at both ends. */
export async function cpuOf({ server, client }: Peer): Promise<CpuSeconds> {
  return { server: await cpuOfAll(server), client: await cpuOfAll(client) };
}

async function cpuOfAll(pids: readonly number[]): Promise<number> {
  let seconds = 0;
  for (const pid of pids)
    for (const one of [pid, ...(await descendantsOf(pid))]) seconds += await threadCpuSeconds(one);
  return seconds;
}
