/** The program `backend` in a process of its own, run as its systemd unit runs it. */
import { writeFile } from 'node:fs/promises';
import { type LabProcess, startProcess } from '../../lab/process.ts';
import { program } from '../../lab/programs.ts';
import { nodeOptionsOf } from '../deployed.ts';
import { fileIn, type Site } from '../site.ts';
import { withLimits } from '../worker.ts';

const READY_MS = 30_000;

export interface BackendProcessOptions {
  /** Of its state folder, its configuration and its log. */
  name: string;
  /** For example 'backend-relay'. */
  unit: string;
  /** For example ['relay', 'daemon']. */
  words: readonly string[];
  /** Lines of its configuration besides the state folder. */
  config: readonly string[];
  /** How many files it may have open. */
  files?: number;
}

/** Listens at a free port of 127.0.0.1, which is returned. */
export async function startBackendProcess(
  site: Site,
  { name, unit, words, config, files }: BackendProcessOptions,
): Promise<{ process: LabProcess; port: number }> {
  const file = fileIn(site, `${name}.toml`);
  const lines = [`stateDir = "${fileIn(site, name)}"`, 'listen = { address = "127.0.0.1", port = 0 }', ...config, ''];
  await writeFile(file, lines.join('\n'));
  site.signal.throwIfAborted();
  const [node, main] = program('backend');
  const argv: [string, ...string[]] = [node, ...(await nodeOptionsOf(unit)), main, ...words, '--config', file];
  const process = await startProcess({
    lab: site.lab,
    name,
    argv: withLimits(argv, { files }),
    logFile: fileIn(site, `${name}.log`),
  });
  site.undo.add(name, () => process.stop());
  const [, port] = await process.waitForLine(/"event":"listening".*?"port":(\d+)/, READY_MS);
  return { process, port: Number(port) };
}
