/** C12 no secret enters the audit log: every method, through the real dispatcher into a real log. */
import { readFileSync } from 'node:fs';
import t from 'tap';
import type * as z from 'zod';
import { controlMethods } from '../../../shared/api/index.ts';
import { RIGHTS } from '../../../shared/api/rights.ts';
import { isEvent } from '../../../shared/audit/record.ts';
import { VmcError } from '../../../shared/errors.ts';
import type { CallContext } from '../../../shared/rpc/method.ts';
import { type DispatchDeps, makeDispatch } from '../../../vmc/dispatch.ts';
import { openLog, pathOf, proven, recordsOf, vm } from '../../unit/audit/support.ts';

const SECRET = new TextEncoder().encode('MARKER-secret-of-thirty-two-byte');
const secretText = new TextDecoder().decode(SECRET);
const secretForms = [secretText, SECRET.toBase64(), SECRET.toBase64({ alphabet: 'base64url' }), SECRET.toHex()];

/** The most secret value that a field takes: those that carry the secret come first. */
const CANDIDATES: readonly unknown[] = [
  SECRET.toBase64(),
  secretText,
  'drv0123456789abcdef',
  'data',
  vm.public.ed25519.toBase64(),
  'ab'.repeat(32),
  'vm-0123456789ab',
  'SHA256:qgZ8zCsMWnGTzqRXl7NSxE1zAsQ4Rt7ZkcvTQWcYrVs',
  7,
  true,
  ['users'],
  [secretText],
  { key: SECRET.toBase64() },
  { passphrase: secretText },
  'iso0123456789abcdef',
  '192.0.2.1',
  '/export/data',
  {},
];
/** Names of things: they are in the log on purpose, so they are never secrets. */
const PUBLIC = new Set(['driveId', 'certificateSha256', 'overwrite']);

function sample(schema: z.ZodType, name: string): unknown {
  const options = 'options' in schema && Array.isArray(schema.options) ? (schema.options as unknown[]) : [];
  const order = PUBLIC.has(name) ? CANDIDATES.slice(2) : CANDIDATES;
  const fits = [...options, ...order].find((candidate) => schema.safeParse(candidate).success);
  if (fits === undefined && !schema.safeParse(undefined).success) throw new Error(`no value for ${name}: add one here`);
  return fits;
}

function sampleParams(params: z.ZodType): Record<string, unknown> {
  const shape = 'shape' in params ? (params.shape as Record<string, z.ZodType>) : {};
  const entries = Object.entries(shape).map(([name, schema]) => [name, sample(schema, name)]);
  return Object.fromEntries(entries.filter(([, value]) => value !== undefined)) as Record<string, unknown>;
}

type Behaviour = () => unknown;

/** Stands for any feature: each call on it behaves as told, and is full of the secret. */
function feature(behave: () => Behaviour): object {
  const call = () => behave()();
  return new Proxy(call, {
    get: (_target, name) => (name === 'then' || typeof name === 'symbol' ? undefined : feature(behave)),
  });
}

const BEHAVIOURS: Record<string, Behaviour> = {
  answers: () => ({ key: SECRET.toBase64(), text: secretText, password: secretText }),
  'fails as expected': () => {
    throw new VmcError('wrong-key', `wrong: ${secretText}`, secretText, { cause: new Error(secretText) });
  },
  'fails with a defect': () => {
    throw new Error(`${secretText} ${SECRET.toBase64()} ${SECRET.toHex()}`);
  },
  'fails with no error at all': () => {
    throw secretText;
  },
};

t.test('C12 C16 every method that changes something is recorded twice, no method gives a secret away', async (t) => {
  const dir = t.testdir();
  const { log } = await openLog(dir);
  let behave: Behaviour = () => undefined;
  const fake = feature(() => behave);
  const own: Partial<DispatchDeps> = {
    audit: log,
    requests: { once: (_who, _request, work) => work({ progress: () => {}, signal: new AbortController().signal }) },
    drives: async () => fake as never,
  };
  const deps = new Proxy(own, { get: (target, name) => target[name as keyof typeof target] ?? fake }) as DispatchDeps;
  const everything: ReadonlySet<(typeof RIGHTS)[number]> = new Set(RIGHTS);
  let rights: typeof everything | undefined = everything;
  const caller = new Proxy(
    { fingerprint: 'SHA256:ann', rights: () => rights, mayRecord: () => true },
    { get: (target, name) => target[name as keyof typeof target] ?? fake },
  );
  const handle = makeDispatch(deps)(caller);
  const context: CallContext = { progress: () => {}, signal: new AbortController().signal };
  const recorded = (what: string) =>
    recordsOf(pathOf(dir))
      .filter(isEvent)
      .filter((record) => record.what === what);
  let secretParams = 0;
  for (const method of Object.values(controlMethods)) {
    const params = sampleParams(method.params);
    if (JSON.stringify(params).includes(SECRET.toBase64())) secretParams++;
    for (const [how, behaviour] of Object.entries(BEHAVIOURS)) {
      behave = behaviour;
      const before = recorded(method.name).length;
      await handle(method.name, params, context).catch(() => {});
      const added = recorded(method.name).length - before;
      if (method.changes) t.equal(added, 2, `${method.name} ${how}: its beginning and its end`);
    }
    await handle(method.name, { ...params, [secretText]: secretText }, context).catch(() => {});
    rights = undefined;
    await t.rejects(handle(method.name, params, context), { code: 'forbidden' });
    rights = everything;
  }
  await handle(secretText, {}, context).catch(() => {});
  await log.close();
  t.ok(secretParams >= 2, 'the secret was among the parameters');
  await proven(pathOf(dir));
  const text = readFileSync(pathOf(dir), 'latin1');
  for (const form of secretForms) t.notOk(text.includes(form), 'no form of the secret is in the log');
});
