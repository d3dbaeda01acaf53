/** How many inputs each target gets of a run: enough for every one of them, and most for what is cheap and open to strangers. */
import type { Target } from './target.ts';

/** Of 5,000,000 inputs no target gets fewer than 20,000. */
const LEAST = 1 / 250;

/** @param inputs all together; Infinity: as many as the time allows. @returns in the order of the targets. */
export function sharesOf(targets: readonly Pick<Target, 'weight'>[], inputs: number): number[] {
  const least = Math.ceil(inputs * Math.min(LEAST, 1 / targets.length));
  const rest = Math.max(0, inputs - least * targets.length);
  const weights = targets.reduce((sum, { weight }) => sum + weight, 0);
  const part = ({ weight }: Pick<Target, 'weight'>) => (weights === 0 ? 1 / targets.length : weight / weights);
  return targets.map((target) => (inputs === Infinity ? Infinity : least + Math.ceil(rest * part(target))));
}
