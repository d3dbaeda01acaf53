/** A target by its name. The toys load by themselves: tests of the fuzzer need nothing of the products. */
import type { Target } from '../target.ts';

/** @throws for a name that is none. */
export async function findTarget(name: string): Promise<Target> {
  const list = name.startsWith('toy/') ? (await import('./toy.ts')).toyTargets : (await import('./all.ts')).targets;
  const found = list.find((target) => target.name === name);
  if (found === undefined) throw new Error(`there is no target ${name}`);
  return found;
}
