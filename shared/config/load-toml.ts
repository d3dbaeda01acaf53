/** Configuration files: TOML, every key known, unknown keys refused. */
import { readFile } from 'node:fs/promises';
import { parse, TomlError } from 'smol-toml';
import type * as z from 'zod';
import { VmcError } from '../errors.ts';
import { isErrno } from '../files.ts';
import { describeIssues } from '../validate.ts';

/** @param schema a strict object schema. @throws VmcError 'bad-config' that names the file and the key. */
export async function loadToml<S extends z.ZodType>(path: string, schema: S): Promise<z.output<S>> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if (isErrno(error, 'ENOENT'))
      throw new VmcError('bad-config', `There is no configuration file ${path}.`, 'Name one with --config.');
    throw new VmcError('bad-config', `${path} cannot be read.`, undefined, { cause: error });
  }
  return parseToml(text, schema, path);
}

export function parseToml<S extends z.ZodType>(text: string, schema: S, path: string): z.output<S> {
  let value: unknown;
  try {
    value = parse(text);
  } catch (error) {
    const where = error instanceof TomlError ? ` at line ${error.line}` : '';
    throw new VmcError('bad-config', `${path} is not TOML${where}.`);
  }
  const parsed = schema.safeParse(value);
  if (!parsed.success)
    throw new VmcError(
      'bad-config',
      `${path}: ${describeIssues(parsed.error)}.`,
      'The file in the package documents every key.',
    );
  return parsed.data;
}
