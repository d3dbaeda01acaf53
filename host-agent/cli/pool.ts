/** `host-agent pool …` */
import type { Command } from 'commander';
import * as z from 'zod';
import { answer, humanBytes, table } from '../../shared/cli/program.ts';
import { initPool, listPools, POOLS } from '../drives/pool-marker.ts';
import { parsed } from './parse.ts';
import type { CliContext, JsonOption } from './program.ts';

export function addPoolCommands(program: Command, { io, host }: CliContext): void {
  const pool = program.command('pool').description('the folders of images, drives, snapshots and ISO images');

  pool
    .command('list')
    .description('the pools, and what is wrong with them')
    .option('--json', 'as JSON')
    .action(async (options: JsonOption) => {
      answer(io, options.json, await listPools(await host()), (pools) =>
        table([
          ['POOL', 'ID', 'SIZE', 'FREE', 'FOLDER'],
          ...pools.map((it) => [
            it.name,
            it.id ?? '-',
            humanBytes(it.sizeBytes),
            humanBytes(it.freeBytes),
            it.problem === undefined ? it.folder : `${it.problem.message} → ${it.problem.hint ?? ''}`,
          ]),
        ]),
      );
    });

  pool
    .command('init')
    .description('take a folder as the pool, as it is now: marks it if it has no marker')
    .argument('<pool>', POOLS.join(', '), (text) => parsed(z.enum(POOLS), text))
    .option('--json', 'as JSON')
    .action(async (name: (typeof POOLS)[number], options: JsonOption) => {
      answer(io, options.json, await initPool(await host(), name), (it) => `${it.name} is ${it.id} in ${it.folder}`);
    });
}
