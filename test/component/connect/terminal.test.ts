/** The passphrase on a real terminal (util-linux `script` makes one): never echoed, asked twice, and Ctrl-C ends it. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';

const connect = join(import.meta.dirname, '../../../bin/connect');

/** Answers each prompt as soon as it shows. @returns what the terminal showed. */
async function onTerminal(args: readonly string[], answers: readonly (readonly [prompt: string, keys: string])[]) {
  const child = spawn('script', ['-qec', [connect, ...args].join(' '), '/dev/null'], { stdio: 'pipe' });
  let shown = '';
  let next = 0;
  child.stdout.on('data', (chunk) => {
    shown += chunk.toString();
    const answer = answers[next];
    if (answer === undefined || !shown.includes(answer[0])) return;
    next++;
    child.stdin.write(answer[1]);
  });
  const [code] = await once(child, 'close');
  return { code: Number(code), shown };
}

t.test('B4 keygen and login at a terminal', async (t) => {
  const folder = join(t.testdir(), 'vmc');
  const keygen = (second: string) =>
    onTerminal(
      ['keygen', '--dir', folder],
      [
        ['new identity: ', 'open sesame\r'],
        ['once more: ', `${second}\r`],
      ],
    );
  const differ = await keygen('open barley');
  t.equal(differ.code, 64);
  t.match(differ.shown, /passphrases differ/);
  t.notOk(existsSync(join(folder, 'identity.json')));

  const made = await keygen('open sesame');
  t.equal(made.code, 0, made.shown);
  t.match(made.shown, /SHA256:/);
  for (const { shown } of [differ, made]) t.notMatch(shown, /sesame|barley/, 'not echoed');

  const login = ['login', '--dir', folder, '--backend', 'https://127.0.0.1:1', '--pin', 'ab'.repeat(32)];
  const opened = await onTerminal(login, [['your identity: ', 'open sesame\r']]);
  t.equal(opened.code, 68, 'the passphrase fits; nobody is there');
  const stopped = await onTerminal(login, [['your identity: ', '\x03']]);
  t.equal(stopped.code, 130);
  t.match(stopped.shown, /Cancelled/);
});
