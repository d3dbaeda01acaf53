/** What is measured runs as what is deployed: with the options of Node that the product's systemd unit has. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ROOT } from '../lab/programs.ts';
import { VmcError } from '../shared/errors.ts';

/** @param unit for example 'vmc'. @throws VmcError 'bad-data' for a unit that does not run Node. */
export async function nodeOptionsOf(unit: string): Promise<string[]> {
  return parseNodeOptions(await readUnit(unit));
}

/** @param unit for example 'vmc'. */
export async function environmentOf(unit: string): Promise<Record<string, string>> {
  return parseEnvironment(await readUnit(unit));
}

const readUnit = (unit: string): Promise<string> => readFile(join(ROOT, 'systemd', `${unit}.service`), 'utf8');

/** Of `ExecStart=/…/node --a --b /…/main.js …` what is between the two files. */
export function parseNodeOptions(unit: string): string[] {
  const options = /^ExecStart=\S+\/node\s+((?:--\S+\s+)*)\S+\/main\.js(?:\s|$)/m.exec(unit)?.[1];
  if (options === undefined) throw new VmcError('bad-data', 'The unit does not start a program with Node.');
  return options.split(/\s+/).filter((option) => option !== '');
}

/** Lines like `Environment=NAME=VALUE`, one variable each. */
export function parseEnvironment(unit: string): Record<string, string> {
  return Object.fromEntries([...unit.matchAll(/^Environment=(\w+)=(\S*)$/gm)].map(([, name, value]) => [name, value]));
}
