/** A question that is answered with yes or no at the terminal. */
import { createInterface } from 'node:readline/promises';
import { type ConnectIo, isTerminal } from './io.ts';

/** @returns whether the answer was "yes"; undefined when there is no terminal to ask on. */
export async function askYes(io: ConnectIo, question: string): Promise<boolean | undefined> {
  if (!isTerminal(io.stderr) || !io.stdin().isTTY) return undefined;
  const lines = createInterface({ input: io.stdin(), output: io.stderr, terminal: false });
  try {
    const answer = await lines.question(`${question} [yes/no] `, { signal: io.signal });
    return answer.trim() === 'yes';
  } finally {
    lines.close();
  }
}
