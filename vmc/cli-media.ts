/** `vmc iso …` and `vmc nfs …`: read-only media by hand, as root in the VM. */
import type { Command } from 'commander';
import { type NfsStatus, nfsExportSchema } from '../shared/api/media.ts';
import { answer, humanBytes, table } from '../shared/cli/program.ts';
import { VmcError } from '../shared/errors.ts';
import { isoIdSchema, nameSchema } from '../shared/names.ts';
import { printable } from '../shared/run.ts';
import { describeIssues } from '../shared/validate.ts';
import type { CliDeps, CommonOptions } from './cli.ts';
import { withCommon } from './cli.ts';
import { loadConfig } from './config.ts';
import type { Media } from './media/media.ts';

/** At the console Ctrl-C ends the process. */
const UNSTOPPED = { signal: new AbortController().signal };

export function addMediaCommands(program: Command, deps: CliDeps): void {
  const iso = program.command('iso').description('ISO images that the host attached to this VM');
  withCommon(iso.command('list').description('every attached image, and where it is mounted')).action(
    async ({ config, json }: CommonOptions) => {
      const isos = await (await open(config, deps)).isos.list();
      answer(deps, json, { isos }, () =>
        isos.length === 0
          ? 'No ISO image is attached.'
          : printable(
              table([
                ['image', 'state', 'size', 'label', 'where'],
                ...isos.map((it) => [
                  it.isoId,
                  it.state,
                  humanBytes(it.sizeBytes),
                  it.label ?? '',
                  it.mountPoint ?? '',
                ]),
              ]),
            ),
      );
    },
  );
  withCommon(iso.command('mount <id> <name>').description('mount an image under its name, read-only')).action(
    async (id: string, name: string, { config, json }: CommonOptions) => {
      const request = { isoId: checked(isoIdSchema, id), name: checked(nameSchema, name) };
      const mounted = await (await open(config, deps)).isos.mount(request, UNSTOPPED);
      answer(deps, json, mounted, ({ mountPoint }) => mountPoint);
    },
  );
  withCommon(iso.command('unmount <id>').description('unmount an image; says who holds it when it is busy')).action(
    async (id: string, { config, json }: CommonOptions) => {
      await (await open(config, deps)).isos.unmount(checked(isoIdSchema, id), UNSTOPPED);
      answer(deps, json, {}, () => 'unmounted');
    },
  );

  const nfs = program.command('nfs').description('NFS exports, read-only, from the servers in the configuration');
  withCommon(nfs.command('list').description('the servers that may be used, and what is mounted')).action(
    async ({ config, json }: CommonOptions) => {
      answer(deps, json, await (await open(config, deps)).nfs.list(), nfsText);
    },
  );
  withCommon(nfs.command('mount <export> <name>').description('mount SERVER:/PATH under its name, read-only')).action(
    async (from: string, name: string, { config, json }: CommonOptions) => {
      const request = { ...checked(nfsExportSchema, from), name: checked(nameSchema, name), readOnly: true };
      const mounted = await (await open(config, deps)).nfs.mount(request, UNSTOPPED);
      answer(deps, json, mounted, ({ mountPoint }) => mountPoint);
    },
  );
  withCommon(nfs.command('unmount <name>').description('unmount an export; says who holds it when it is busy')).action(
    async (name: string, { config, json }: CommonOptions) => {
      await (await open(config, deps)).nfs.unmount(checked(nameSchema, name), UNSTOPPED);
      answer(deps, json, {}, () => 'unmounted');
    },
  );
}

function nfsText({ servers, mounts }: { servers: readonly string[]; mounts: readonly NfsStatus[] }): string {
  const head = servers.length === 0 ? 'No NFS server may be used.' : `servers: ${servers.join(', ')}`;
  return [head, ...mounts.map((it) => `${it.server}:${it.path}  ${it.mountPoint}`)].join('\n');
}

async function open(config: string, deps: CliDeps): Promise<Media> {
  const { openMedia } = await import('./media/media.ts');
  return openMedia(await loadConfig(config), (what) => deps.stderr.write(`vmc: this could not be undone: ${what}\n`));
}

function checked<S extends typeof isoIdSchema | typeof nfsExportSchema>(
  schema: S,
  value: string,
): ReturnType<S['parse']> {
  const parsed = schema.safeParse(value);
  if (!parsed.success) throw new VmcError('bad-request', `${describeIssues(parsed.error)}.`);
  return parsed.data as ReturnType<S['parse']>;
}
