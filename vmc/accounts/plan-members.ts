/** Who joins and who leaves a group. Pure. */

/**
 * @param members of the group now. Those that are not in `mayBe` were put there by somebody else, and stay.
 * @param mayBe by account name: whether they belong there.
 */
export function planMembers(
  members: readonly string[],
  mayBe: ReadonlyMap<string, boolean>,
): { add: string[]; remove: string[] } {
  return {
    add: [...mayBe].filter(([name, may]) => may && !members.includes(name)).map(([name]) => name),
    remove: members.filter((name) => mayBe.get(name) === false),
  };
}
