import { statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { type Bootstrap, encodeBootstrap } from '../../../shared/bootstrap.ts';
import { generateIdentity } from '../../../shared/identity/identity.ts';
import { PASS_BYTES } from '../../../shared/relay/ticket.ts';
import { parseBootstrap } from '../../../vmc/state/read-bootstrap.ts';
import { readRelayAccess, relayAccessPath, writeRelayAccess } from '../../../vmc/state/relay-access.ts';
import { openStateFolder } from '../../../vmc/state/state-folder.ts';

const ann = generateIdentity();
const bootstrapOf = (): Bootstrap => ({
  version: 1,
  vm: { id: 'vm-0123456789ab', name: 'data' },
  backend: { url: 'https://10.91.2.1:8443', pin: 'ab'.repeat(32) },
  owner: ann.public,
  enrolToken: new Uint8Array(32).fill(9),
});

t.test('a bootstrap that is wrong names the field, never its value', async (t) => {
  const good = JSON.parse(encodeBootstrap(bootstrapOf())) as Record<string, Record<string, unknown>>;
  t.same(parseBootstrap(JSON.stringify(good), 'x').vm, { id: 'vm-0123456789ab', name: 'data' });
  const cases: [unknown, RegExp][] = [
    ['not json', /is not JSON/],
    [{ ...good, version: 2 }, /version/],
    [{ ...good, vm: { id: 'vm-SECRETVALUE', name: 'data' } }, /vm\.id/],
    [{ ...good, backend: { ...good.backend, url: 'http://x' } }, /backend\.url/],
    [{ ...good, backend: { ...good.backend, pin: 'SECRETVALUE' } }, /backend\.pin/],
    [{ ...good, owner: { ...good.owner, ed25519: 'SECRETVALUE' } }, /owner\.ed25519/],
    [{ ...good, owner: { ...good.owner, proof: good.owner?.ed25519 } }, /owner/],
    [{ ...good, enrolToken: 'SECRETVALUE' }, /enrolToken/],
    [{ ...good, more: 1 }, /unknown key more/],
    ['x'.repeat(70_000), /too long/],
  ];
  for (const [document, message] of cases) {
    const text = typeof document === 'string' ? document : JSON.stringify(document);
    t.throws(() => parseBootstrap(text, 'here'), { code: 'bad-config', message });
    t.doesNotThrow(() => {
      try {
        parseBootstrap(text, 'here');
      } catch (error) {
        if (/SECRETVALUE/.test(String(error))) throw new Error('the value is repeated');
      }
    });
  }
});

t.test('the state folder is closed to others; enrolment is remembered for one backend', async (t) => {
  const dir = t.testdir({ open: {}, file: '' });
  await openStateFolder(join(dir, 'open'));
  t.equal(statSync(join(dir, 'open')).mode & 0o777, 0o700);
  await t.rejects(openStateFolder(join(dir, 'file')), /./);
});

t.test('C1: the pass for the relays is kept for one VM and one backend; a damaged one is none', async (t) => {
  const dir = t.testdir();
  const [vmId, pin] = ['vm-0123456789ab', 'aa'.repeat(32)];
  const read = (id = vmId, backendPin = pin) => readRelayAccess(dir, id, backendPin);
  t.equal(await read(), undefined);
  const access = {
    pass: new Uint8Array(PASS_BYTES).fill(3),
    relays: [{ url: 'https://10.0.0.1:8443', pin: 'bb'.repeat(32) }],
    givenAt: 5,
  };
  await writeRelayAccess(dir, vmId, pin, access);
  t.match(await read(), access);
  t.equal(statSync(relayAccessPath(dir)).mode & 0o777, 0o600);
  t.equal(await read('vm-000000000000'), undefined);
  t.equal(await read(vmId, 'bb'.repeat(32)), undefined);
  writeFileSync(relayAccessPath(dir), '{"version":1');
  t.equal(await read(), undefined);
});
