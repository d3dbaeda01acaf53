/** One product's TypeScript and its libraries as a few ESM files: quick to start, nothing else to install. */
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type BuildOptions, build, type Plugin } from 'esbuild';
import { VmcError } from '../shared/errors.ts';
import { collectLicences } from './licences.ts';

export interface BundleOptions {
  /** The entry, say `/repo/vmc/main.ts`. Its bundle is `<outDir>/main.js`. */
  entry: string;
  /** Emptied first. */
  outDir: string;
  /** The repository's root: paths in the output are relative to it, so the output is the same wherever it is built. */
  root: string;
}

export interface BundleResult {
  /** Bytes of all the JavaScript. */
  bytes: number;
  /** Names of the files in outDir, sorted. */
  files: string[];
}

// Libraries in CommonJS call these; an ES module has to make them itself.
const COMMONJS_NAMES = [
  "import { createRequire as vmcCreateRequire } from 'node:module';",
  'const require = vmcCreateRequire(import.meta.url);',
  'const __filename = import.meta.filename;',
  'const __dirname = import.meta.dirname;',
].join('\n');

/** Optional speed-ups written in C that their libraries do without; none of them is shipped. */
const OPTIONAL_NATIVE = ['bufferutil', 'utf-8-validate', 'cpu-features', '*/sshcrypto.node'];

/** zod brings its messages in fifty languages, half of its size; ours are in English. */
const ENGLISH_ONLY: Plugin = {
  name: 'english-only',
  setup: ({ onLoad }) =>
    onLoad({ filter: /node_modules\/zod\/v4\/locales\/index\.js$/ }, () => ({
      contents: "export { default as en } from './en.js';",
      loader: 'js',
    })),
};

/** How the sources become one kind of JavaScript, wherever it goes. */
export const BUNDLE_OPTIONS = {
  bundle: true,
  format: 'esm',
  platform: 'node',
  target: 'node26',
  minifyWhitespace: true,
  minifySyntax: true,
  charset: 'utf8',
  legalComments: 'none', // the licences are all in LICENCES, below
  banner: { js: COMMONJS_NAMES },
  define: { 'process.env.NODE_ENV': '"production"' },
  external: OPTIONAL_NATIVE,
  plugins: [ENGLISH_ONLY],
  logLevel: 'silent',
} satisfies BuildOptions;

/**
 * Bundles an entry. Code behind `await import()` becomes a file of its own, loaded when first used. Names are kept, so
 * that a stack trace can be read. The same sources give the same bytes.
 * @throws VmcError `bad-data` when the sources do not bundle.
 */
export async function bundle(options: BundleOptions): Promise<BundleResult> {
  const { entry, outDir, root } = options;
  await rm(outDir, { recursive: true, force: true });
  await mkdir(outDir, { recursive: true });
  const result = await build({
    entryPoints: { main: entry },
    outdir: outDir,
    absWorkingDir: root,
    ...BUNDLE_OPTIONS,
    splitting: true,
    chunkNames: '[name]-[hash]',
    metafile: true,
  }).catch((error: unknown) => {
    throw new VmcError('bad-data', `${entry} does not bundle`, 'Run tsc --noEmit first.', { cause: error });
  });
  await writeFile(join(outDir, 'package.json'), '{"type":"module"}\n');
  await writeFile(join(outDir, 'LICENCES'), await collectLicences(root, Object.keys(result.metafile.inputs)));
  const outputs = Object.values(result.metafile.outputs);
  return {
    bytes: outputs.reduce((sum, output) => sum + output.bytes, 0),
    files: [
      ...Object.keys(result.metafile.outputs).map((path) => path.slice(path.lastIndexOf('/') + 1)),
      'LICENCES',
      'package.json',
    ].sort(),
  };
}
