/** An image in the pool: NAME.qcow2, and NAME.vmlinuz, NAME.initrd, NAME.json beside it when it boots directly. */
import { access } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod';
import { VmcError } from '../../shared/errors.ts';
import { isErrno, readIfThere } from '../../shared/files.ts';
import { parseJson } from '../../shared/validate.ts';
import type { Boot } from './domain-xml.ts';

export interface Image {
  disk: string;
  boot: Boot | undefined;
}

const bootSchema = z.object({ cmdline: z.string().max(2048) });

/** @throws VmcError 'not-found', 'bad-data' when only a part of what direct boot needs is there. */
export async function readImage(pool: string, name: string): Promise<Image> {
  const path = (ending: string) => join(pool, `${name}.${ending}`);
  if (!(await exists(path('qcow2'))))
    throw new VmcError('not-found', `There is no image ${name} (${path('qcow2')}).`, 'Put it there, or name another.');
  const description = await readIfThere(path('json'));
  const kernel = path('vmlinuz');
  const initrd = path('initrd');
  const parts = [await exists(kernel), await exists(initrd), description !== undefined];
  if (!parts.includes(true)) return { disk: path('qcow2'), boot: undefined };
  if (description === undefined || parts.includes(false))
    throw new VmcError(
      'bad-data',
      `The image ${name} is not whole: to boot directly it needs .vmlinuz, .initrd and .json beside it, to boot from its disk none of them.`,
    );
  const { cmdline } = parseJson(bootSchema, description, path('json'));
  return { disk: path('qcow2'), boot: { kernel, initrd, cmdline } };
}

async function exists(path: string): Promise<boolean> {
  try {
    await access(path);
    return true;
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return false;
    throw error;
  }
}
