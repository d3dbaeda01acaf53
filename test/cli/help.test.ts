/** Every command of every CLI explains itself, and none takes an option that it does not know. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { run } from '../../shared/run.ts';
import { clis, commandsIn, everyCommand } from './clis.ts';

for (const [name, cli] of Object.entries(clis)) {
  t.test(`${name}: --help everywhere, unknown options and commands are usage errors`, async (t) => {
    const commands = await everyCommand(cli);
    t.ok(commands.length > 5, `${commands.length} commands`);
    for (const words of commands) {
      const line = [name, ...words].join(' ');
      const help = await cli(...words, '--help');
      t.equal(help.code, 0, `${line} --help`);
      t.match(help.stdout, `Usage: ${line}`);
      t.equal(help.stderr, '', `${line}: help is an answer`);
      const wrong = await cli(...words, '--no-such-option');
      t.equal(wrong.code, 64, `${line} --no-such-option`);
      t.equal(wrong.stdout, '', `${line}: an error is not an answer`);
      if (commandsIn(help.stdout).length > 0)
        t.equal((await cli(...words, 'no-such-command')).code, 64, `${line} no-such-command`);
    }
  });
}

t.test('connect: every command that does something has an example, and says the folder', async (t) => {
  for (const words of await everyCommand(clis.connect)) {
    const { stdout } = await clis.connect(...words, '--help');
    if (commandsIn(stdout).length === 0) t.match(stdout, /\nExample:\n {2}connect /, words.join(' '));
    t.match(stdout, '/home/you/.config/vmc');
  }
});

t.test('the commands start as processes', async (t) => {
  for (const name of Object.keys(clis)) {
    const file = join(import.meta.dirname, '../../bin', name);
    t.ok(existsSync(file));
    const { stdout } = await run({ file, args: ['--help'], timeoutMs: 20_000 });
    t.match(stdout, new RegExp(`^Usage: ${name}`));
    const wrong = await run({ file, args: ['--no-such-option'], timeoutMs: 20_000, okExitCodes: [64] });
    t.equal(wrong.exitCode, 64);
  }
});
