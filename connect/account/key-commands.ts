/** `connect keygen` and `connect fingerprint`: the identity itself, without any backend. */
import type { Command } from 'commander';
import { wipe } from '../../shared/bytes.ts';
import { VmcError } from '../../shared/errors.ts';
import * as curves from '../../shared/identity/curves.ts';
import { fingerprint } from '../../shared/identity/fingerprint.ts';
import { generateIdentity, wipeIdentity } from '../../shared/identity/identity.ts';
import { mlKemFromSeed } from '../../shared/identity/native.ts';
import { readSealedPublic, sealIdentity } from '../../shared/identity/sealed.ts';
import type { PersonFolder } from '../folder.ts';
import { type ConnectIo, note, reply } from '../io.ts';
import { readNewPassphrase } from '../passphrase.ts';
import { globalOptions, openFolder } from '../session.ts';

export function addKeyCommands(program: Command, io: ConnectIo): void {
  program
    .command('keygen')
    .description('Make your identity, sealed with a passphrase. An identity that is there is never replaced')
    .option('--json', 'answer as JSON')
    .addHelpText('after', '\nExample:\n  connect keygen\n  connect keygen --passphrase-fd 3 3<passphrase.txt')
    .action(async ({ json }: { json?: boolean }, command: Command) => {
      const folder = await openFolder(io, command);
      if (await folder.hasIdentity()) throw alreadyThere(folder);
      const identity = generateIdentity({ ...curves, mlKemFromSeed });
      const passphrase = await readNewPassphrase(io, globalOptions(command).passphraseFd);
      try {
        if (!(await folder.writeIdentity(await sealIdentity(identity, passphrase)))) throw alreadyThere(folder);
      } finally {
        wipe(passphrase);
        wipeIdentity(identity);
      }
      reply(
        io,
        json,
        { fingerprint: fingerprint(identity.public.ed25519), folder: folder.path },
        (made) => made.fingerprint,
      );
      note(io, `Your identity is in ${folder.path}. Keep a copy: without it and its passphrase your drives stay shut.`);
    });

  program
    .command('fingerprint')
    .description('Print the fingerprint of your identity, as ssh-keygen -l would')
    .option('--json', 'answer as JSON')
    .addHelpText('after', '\nExample:\n  connect fingerprint')
    .action(async ({ json }: { json?: boolean }, command: Command) => {
      const folder = await openFolder(io, command);
      const { ed25519 } = readSealedPublic(await folder.identity());
      reply(io, json, { fingerprint: fingerprint(ed25519) }, (own) => own.fingerprint);
    });
}

function alreadyThere(folder: PersonFolder): VmcError {
  return new VmcError(
    'already-exists',
    `There is an identity in ${folder.path} already.`,
    'It opens your drives, so it is never replaced. For another one use another --dir.',
  );
}
