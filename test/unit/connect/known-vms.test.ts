/** DESIGN 3: pinned at first contact, a changed one refused loudly. */
import t from 'tap';
import { isKnownPerson, pinPerson } from '../../../connect/known-people.ts';
import { acquaintance, checkName, forget, knownVmsSchema, meant, pin, sawPeople } from '../../../connect/known-vms.ts';
import type { VmcError } from '../../../shared/errors.ts';
import { fingerprint } from '../../../shared/identity/fingerprint.ts';
import { generateIdentity } from '../../../shared/identity/identity.ts';

const A = 'vm-00000000000a';
const B = 'vm-00000000000b';
const first = generateIdentity().public.ed25519;
const second = generateIdentity().public.ed25519;
const lab = { vmId: A, name: 'lab', ed25519: first };

function failure(work: () => unknown): VmcError {
  try {
    work();
  } catch (error) {
    return error as VmcError;
  }
  throw new Error('it did not throw');
}

t.test('a VM is a stranger, then named, then known', async (t) => {
  t.equal(acquaintance({}, lab), 'stranger');
  t.equal(acquaintance(meant({}, lab), lab), 'named');
  t.equal(acquaintance(pin({}, lab), lab), 'known');
  t.equal(acquaintance(meant(pin({}, lab), lab), lab), 'known', 'naming it again keeps the pin');
});

t.test('a changed identity is refused, names both fingerprints and the way out', async (t) => {
  const error = failure(() => acquaintance(pin({}, lab), { ...lab, ed25519: second }));
  t.equal(error.code, 'identity-changed');
  t.match(error.message, fingerprint(first));
  t.match(error.message, fingerprint(second));
  t.match(error.message, /Nothing was sent/);
  t.match(error.hint, `connect vm trust ${A} --accept ${fingerprint(second)}`);
});

t.test('somebody whose name every object has is a stranger like others', async (t) => {
  const person = { name: 'constructor', ed25519: first };
  t.equal(isKnownPerson({}, person, undefined), false);
  t.equal(isKnownPerson(pinPerson({}, person), person, undefined), true);
});

t.test('two looks at the people of a VM that overtake each other leave the higher version', async (t) => {
  let known = sawPeople(pin({}, lab), A, 4, 0);
  known = sawPeople(known, A, 6, 4);
  known = sawPeople(known, A, 5, 4);
  t.equal(known[A]?.peopleVersion, 6);
  t.equal(sawPeople(known, A, 3, 6)[A]?.peopleVersion, 3, 'a roll-back that was told of');
});

t.test('the backend cannot make a known name mean another VM', async (t) => {
  const known = pin({}, lab);
  t.equal(failure(() => acquaintance(known, { vmId: B, name: 'lab', ed25519: second })).code, 'identity-changed');
  t.equal(failure(() => checkName(known, { vmId: B, name: 'lab' })).code, 'identity-changed');
  const both = pin(known, { vmId: B, name: 'prod', ed25519: second });
  t.equal(failure(() => acquaintance(both, { ...lab, name: 'prod' })).code, 'identity-changed', 'swapped names');
  t.equal(failure(() => checkName(known, { vmId: A, name: 'other' })).code, 'identity-changed', 'renamed');
});

t.test('trusting a rebuilt VM forgets who had the name before', async (t) => {
  const rebuilt = { vmId: B, name: 'lab', ed25519: second };
  const known = pin(pin({}, lab), rebuilt);
  t.strictSame(Object.keys(known), [B]);
  t.equal(acquaintance(known, rebuilt), 'known');
  t.strictSame(forget(known, B), {});
});

t.test('the file form is checked: a damaged key is never taken for none', async (t) => {
  const known = pin({}, lab);
  t.strictSame(knownVmsSchema.parse(JSON.parse(JSON.stringify(known))), known);
  t.notOk(knownVmsSchema.safeParse({ [A]: { name: 'lab', ed25519: 'AAAA' } }).success);
  t.notOk(knownVmsSchema.safeParse({ [A]: { name: 'lab', key: 'x' } }).success);
  t.notOk(knownVmsSchema.safeParse({ 'not-an-id': { name: 'lab' } }).success);
});
