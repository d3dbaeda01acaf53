/** The four CLIs, run in process: the same functions that each main.ts calls. */
import { backendMain, connectMain, hostAgentMain, vmcMain } from './mains.ts';

export interface Transcript {
  code: number;
  stdout: string;
  stderr: string;
}

export type Cli = (...argv: string[]) => Promise<Transcript>;

export const clis: Readonly<Record<'vmc' | 'host-agent' | 'backend' | 'connect', Cli>> = {
  vmc: vmcMain,
  'host-agent': hostAgentMain,
  backend: backendMain,
  connect: connectMain,
};

/** The names under "Commands:" in a help text. */
export function commandsIn(help: string): string[] {
  const [, section = ''] = /^Commands:\n((?: {2}.*\n)+)/m.exec(help) ?? [];
  return [...section.matchAll(/^ {2}([a-z][a-z-]*)/gm)].map(([, name]) => name ?? '').filter((name) => name !== 'help');
}

/** Every command of a CLI, groups too, as words: [], ['vm'], ['vm', 'create'] … */
export async function everyCommand(cli: Cli, words: readonly string[] = []): Promise<string[][]> {
  const { stdout } = await cli(...words, '--help');
  const below = await Promise.all(commandsIn(stdout).map((name) => everyCommand(cli, [...words, name])));
  return [[...words], ...below.flat()];
}
