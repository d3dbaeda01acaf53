/** From what a person typed, a name or an id, to the one thing meant. */
import { VmcError } from '../shared/errors.ts';

export interface Named {
  name: string;
}

const SHOWN = 10;

/**
 * An id wins over a name.
 * @param kind e.g. 'VM'. @throws VmcError 'not-found', or 'bad-request' when the name fits more than one.
 */
export function resolve<T extends Named>(
  items: readonly T[],
  idOf: (item: T) => string,
  wanted: string,
  kind: string,
): T {
  const byId = items.find((item) => idOf(item) === wanted);
  if (byId !== undefined) return byId;
  const [first, ...others] = items.filter((item) => item.name === wanted);
  if (first === undefined) {
    const names = items.slice(0, SHOWN).map((item) => item.name);
    const more = items.length > SHOWN ? ', …' : '';
    throw new VmcError(
      'not-found',
      `There is no ${kind} ${JSON.stringify(wanted)} here.`,
      names.length === 0 ? `You have no ${kind} yet.` : `There are: ${names.join(', ')}${more}.`,
    );
  }
  if (others.length > 0)
    throw new VmcError(
      'bad-request',
      `${others.length + 1} of kind ${kind} have the name ${wanted}.`,
      `Use one of the ids: ${[first, ...others].slice(0, SHOWN).map(idOf).join(', ')}.`,
    );
  return first;
}
