/** Signed records of a VM's state folder: whoever has the disk can put others there. */
import { isDeepStrictEqual } from 'node:util';
import { utf8 } from '../../../shared/bytes.ts';
import { fingerprint } from '../../../shared/identity/fingerprint.ts';
import { signStatementNatively } from '../../../shared/identity/statement.ts';
import { decodePeople } from '../../../vmc/people/people-file.ts';
import { fromStored, memberOf, type StoredPeople, toStored } from '../../../vmc/people/people-state.ts';
import { checkOwner, decodeOwner, encodeOwner } from '../../../vmc/state/owner.ts';
import { insist, type Target, textOf, type Verdict, verdict } from '../target.ts';
import { alice, mallory, NOON, vm } from './people.ts';

const vmId = 'vm-0123456789ab';
const owner = fingerprint(alice.public.ed25519);

/** @param line as the VM itself would have signed it. */
const signed = (context: string, line: string): string =>
  `${line}\n${signStatementNatively(vm, context, [utf8(line)]).toBase64()}\n`;

const person = (ed25519: Uint8Array, name: string, standing: StoredPeople['people'][number]['standing']) => ({
  ed25519: ed25519.toBase64(),
  name,
  standing,
  addedBy: owner,
  addedAt: NOON,
});
const people: StoredPeople = {
  version: 7,
  people: [
    person(mallory.public.ed25519, 'mallory', { role: 'user', profile: 'guests' }),
    person(vm.public.ed25519, 'second', { role: 'user', rights: ['drives', 'files'] }),
    person(alice.public.ed25519, 'third', { role: 'manager' }),
  ],
  profiles: [{ name: 'guests', rights: ['terminal'] }],
};
const peopleLine = (stored: unknown) => JSON.stringify({ format: 1, vmId, people: stored });

/**
 * An input is tried twice: as the file itself, which must be the VM's own to be taken, and as its first line under a
 * signature that holds, so that what is behind it is reached.
 */
function recordTarget(name: string, context: string, lines: readonly string[], read: (text: string) => void): Target {
  const genuine = lines.map((line) => signed(context, line));
  return {
    name,
    from: 'host',
    form: 'json',
    weight: 1,
    maxBytes: 65_536,
    words: ['\n', '=', 'A'],
    open: () => ({
      seeds: [...lines, ...genuine].map(utf8),
      run: (input): Verdict => {
        const text = textOf(input);
        if (verdict(() => read(text)) === 'accepted') {
          insist(genuine.includes(text), 'only what the VM has signed is taken');
          return 'accepted';
        }
        return verdict(() => read(signed(context, text)));
      },
    }),
  };
}

const bootstrap = { vm: { id: vmId, name: 'analysis' }, owner: alice.public } as const;

export const stateTargets: Target[] = [
  recordTarget('vmc/people-file', 'vmc-people', [people, { ...people, people: [] }].map(peopleLine), (text) => {
    const deps = { stateDir: '/var/lib/vmc', identity: vm, vmId, owner };
    const state = decodePeople(deps, text, 7);
    insist(state.version >= 7, 'an old copy is not taken');
    insist(memberOf(state, owner)?.role === 'owner', 'the owner stays the owner');
    insist(isDeepStrictEqual(fromStored(owner, toStored(state)), state), 'what is written says what was read');
  }),
  recordTarget(
    'vmc/owner-file',
    'vmc-owner',
    [encodeOwner(vm, bootstrap, new Date(NOON)).split('\n')[0] ?? ''],
    (text) => {
      const known = decodeOwner(vm, text, '/var/lib/vmc/owner.json');
      checkOwner(known, bootstrap);
    },
  ),
];
