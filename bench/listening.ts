/** For programs that do not say when they listen. */
import { once } from 'node:events';
import { connect } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import type { LabProcess } from '../lab/process.ts';
import { VmcError } from '../shared/errors.ts';

const DEADLINE_MS = 20_000;
/** The kernel tells nobody when a port is opened. */
const LOOK_EVERY_MS = 20;

/** @param port of 127.0.0.1. @throws VmcError 'timeout', 'command-failed' when the program ends first. */
export async function whenListening(port: number, name: string, program: LabProcess): Promise<void> {
  const deadline = performance.now() + DEADLINE_MS;
  while (!(await accepts(port))) {
    if (!program.running) throw new VmcError('command-failed', `${name} ended (${await program.ended}).`);
    if (performance.now() > deadline) throw new VmcError('timeout', `${name} does not listen on port ${port}.`);
    await delay(LOOK_EVERY_MS);
  }
}

async function accepts(port: number): Promise<boolean> {
  const socket = connect({ port, host: '127.0.0.1' });
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}
