/** The house rules that a machine can check (STYLE: one direction only). */
import { globSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import t from 'tap';

const PRODUCTS = ['vmc', 'host-agent', 'backend', 'connect'];
const SUPPORT = ['lab', 'packaging', 'demo', 'bench', 'scripts', 'test'];

interface Import {
  from: string;
  to: string;
}

/** The room of a file: its first folder. */
const room = (path: string) => path.split('/')[0] ?? '';
const isProduct = (name: string) => PRODUCTS.includes(name);

/** Why an import between two files of the project is wrong, or undefined when it is fine. */
function fault({ from, to }: Import): string | undefined {
  const source = room(from);
  const target = room(to);
  if (source === target) return undefined;
  if (source === 'shared') return 'shared imports no product and no support code';
  if (isProduct(source) && isProduct(target)) return 'products never import each other';
  if (isProduct(source) && SUPPORT.includes(target)) return 'products do not import support code';
  return undefined;
}

function sourceFiles(rooms: readonly string[]): string[] {
  return rooms.flatMap((name) => globSync(`${name}/**/*.ts`)).sort();
}

function importsOf(file: string): string[] {
  const text = readFileSync(file, 'utf8');
  return [...text.matchAll(/(?:from|import\()\s*'([^']+)'/g)].map((match) => match[1] ?? '');
}

const files = sourceFiles(['shared', ...PRODUCTS, ...SUPPORT]);

t.test('the rule itself can fail', async (t) => {
  t.ok(fault({ from: 'shared/a.ts', to: 'vmc/b.ts' }));
  t.ok(fault({ from: 'vmc/a.ts', to: 'backend/b.ts' }));
  t.ok(fault({ from: 'connect/a.ts', to: 'test/b.ts' }));
  t.notOk(fault({ from: 'vmc/a.ts', to: 'shared/b.ts' }));
  t.notOk(fault({ from: 'demo/a.ts', to: 'lab/b.ts' }));
});

t.test('imports go one way only', async (t) => {
  t.ok(files.length > 40, 'the files are found');
  const faults = files.flatMap((from) =>
    importsOf(from)
      .filter((target) => target.startsWith('.'))
      .map((target) => ({ from, to: normalize(join(dirname(from), target)) }))
      .map((edge) => ({ ...edge, why: fault(edge) }))
      .filter(({ why }) => why !== undefined),
  );
  t.strictSame(faults, []);
});

t.test('pure files touch no clock, file, socket or process', async (t) => {
  const impure = /^(node:(fs|net|tls|child_process|http|https|dgram)|execa|ws)(\/|$)/;
  const pure = files
    .filter(
      (file) =>
        /(^|\/)(plan|parse|wire)-?[^/]*\.ts$|(^|\/)[^/]*-(plan|parser)\.ts$|key-schedule\.ts$/.test(file) &&
        isProduct(room(file)) === true,
    )
    .concat(
      files.filter((file) =>
        /^shared\/(channel\/(wire|key-schedule|key-state|handshake|initiator|responder|records)|rpc\/messages|bytes)\.ts$/.test(
          file,
        ),
      ),
    );
  t.ok(pure.length > 3, 'pure files are found');
  for (const file of pure) {
    t.strictSame(
      importsOf(file).filter((target) => impure.test(target)),
      [],
      file,
    );
    const text = readFileSync(file, 'utf8');
    t.notMatch(
      text,
      /Date\.now\(|Math\.random\(|process\.env/,
      `${file} takes clock, random and environment as arguments`,
    );
  }
});

t.test('a peer in a browser is made of nothing that needs Node', async (t) => {
  const reached = new Set<string>();
  const visit = (file: string): void => {
    if (reached.has(file)) return;
    reached.add(file);
    // Types leave no import behind.
    const text = readFileSync(file, 'utf8').replace(/^(import|export) type [^;]*;/gm, '');
    for (const [, target = ''] of text.matchAll(/from '([^']+)'/g))
      if (target.startsWith('.')) visit(normalize(join(dirname(file), target)));
      else t.ok(['tweetnacl', '@noble/post-quantum/ml-kem.js'].includes(target), `${file} imports ${target}`);
  };
  visit('shared/channel/browser.ts');
  t.ok(reached.size > 15, `${reached.size} files`);
  t.notOk(reached.has('shared/identity/native.ts'));
});

t.test('only main.ts reads the environment and argv, or sets the exit code', async (t) => {
  const offenders = sourceFiles(['shared', ...PRODUCTS])
    .filter((file) => !file.endsWith('/main.ts'))
    .filter((file) => /process\.(env|argv|exitCode|exit\()/.test(readFileSync(file, 'utf8')));
  t.strictSame(offenders, []);
});

t.test('no shell: every external command goes through run({ file, args })', async (t) => {
  const offenders = sourceFiles(['shared', ...PRODUCTS])
    .filter((file) => file !== 'shared/run.ts')
    .filter((file) =>
      /from 'execa'|exec\(|execSync|spawnSync|shell: true/.test(readFileSync(file, 'utf8').replace(/\.exec\(/g, '')),
    );
  t.strictSame(offenders, []);
});

t.test('every control method names its right', async (t) => {
  const { controlMethods } = await import('../shared/api/index.ts');
  const { RIGHTS } = await import('../shared/api/rights.ts');
  for (const method of Object.values(controlMethods)) t.ok(['member', ...RIGHTS].includes(method.right), method.name);
});
