/** `connect drive share`: a drive's key, wrapped on this device for one more person. */
import type { Command } from 'commander';
import { VmcError } from '../../shared/errors.ts';
import { fingerprint } from '../../shared/identity/fingerprint.ts';
import { toBase64 } from '../../shared/names.ts';
import { type DriveAccess, drivePeopleRoutes } from '../../shared/rest-api/drive-people.ts';
import type { Drive } from '../../shared/rest-api/machines.ts';
import { type ConnectIo, note, reply } from '../io.ts';
import { resolve } from '../resolve.ts';
import { ask, type Session, withSession } from '../session.ts';
import { findAccount, type TrustOptions } from '../vm/person.ts';
import { driveName, findDrive, findOwnDrive } from './find.ts';
import { lend, settledEnvelope } from './key.ts';
import { openDriveKey, sealSharedDriveKey } from './key-envelope.ts';
import { peopleTable } from './text.ts';

interface ShareOptions extends TrustOptions {
  ro?: boolean;
  rw?: boolean;
  json?: boolean;
}

export function addPeopleCommands(drives: Command, io: ConnectIo): void {
  drives
    .command('share')
    .description(
      'Let somebody use a drive of yours: its key is wrapped for them. Again with the other option changes that',
    )
    .argument('<drive>', 'name or id')
    .argument('<person>', 'name of their account (connect user list)')
    .option('--ro', 'they may attach it read-only')
    .option('--rw', 'they may also write to it')
    .option('--fingerprint <fingerprint>', 'what "connect fingerprint" prints for them, SHA256:…')
    .option('--yes', "take the backend's word for their key when this device does not know it yet")
    .option('--json', 'answer as JSON')
    .addHelpText('after', '\nExample:\n  connect drive share data bob --ro --fingerprint SHA256:Jl3…')
    .action((wanted: string, who: string, options: ShareOptions, command: Command) => {
      if ((options.ro === true) === (options.rw === true))
        throw new VmcError('bad-request', 'Say one of --ro and --rw.');
      const access: DriveAccess = options.rw === true ? 'rw' : 'ro';
      return withSession(io, command, async (session) => {
        const drive = await findOwnDrive(session, wanted);
        const { driveId } = drive;
        const envelope = settledEnvelope(drive);
        const person = await findAccount(session, who, options);
        if (person.userId === session.user.userId) throw new VmcError('bad-request', 'The drive is yours already.');
        const wrapped = await lend(openDriveKey(session.identity, driveId, envelope), async (key) =>
          sealSharedDriveKey(session.identity, person.identity, driveId, key),
        );
        const body = { access, wrappedKey: toBase64(wrapped) };
        await ask(session, drivePeopleRoutes.driveShare, { params: { driveId, userId: person.userId }, body });
        const print = fingerprint(person.identity.ed25519);
        reply(
          io,
          options.json,
          { driveId, name: person.name, fingerprint: print, access },
          () => `${drive.name}  shared with ${person.name} (${access})  ${print}`,
        );
      });
    });

  drives
    .command('unshare')
    .description('Take a drive from somebody, or give back one that was shared with you')
    .argument('<drive>', 'name or id')
    .argument('<person>', 'name of their account, or your own')
    .option('--json', 'answer as JSON')
    .addHelpText('after', '\nExample:\n  connect drive unshare data bob\n  connect drive unshare data@ada bob')
    .action((wanted: string, who: string, { json }: { json?: boolean }, command: Command) =>
      withSession(io, command, async (session) => {
        const drive = await findDrive(session, wanted);
        const { driveId } = drive;
        const { userId, name } = await sharer(session, drive, who);
        await ask(session, drivePeopleRoutes.driveUnshare, { params: { driveId, userId }, body: {} });
        if (drive.access === 'owner')
          note(io, `${name} may still know its key. To change it: connect drive key change ${drive.name}`);
        reply(io, json, { driveId, name, unshared: true }, () => `${driveName(drive)}  taken from ${name}`);
      }),
    );

  drives
    .command('people')
    .description('With whom a drive of yours is shared')
    .argument('<drive>', 'name or id')
    .option('--json', 'answer as JSON')
    .addHelpText('after', '\nExample:\n  connect drive people data')
    .action((wanted: string, { json }: { json?: boolean }, command: Command) =>
      withSession(io, command, async (session) => {
        const { driveId } = await findOwnDrive(session, wanted);
        const { people } = await ask(session, drivePeopleRoutes.drivePeople, { params: { driveId }, body: {} });
        reply(io, json, { driveId, people }, (it) => peopleTable(it.people));
      }),
    );
}

async function sharer(session: Session, drive: Drive, who: string): Promise<{ userId: string; name: string }> {
  const { userId, name } = session.user;
  if (drive.access !== 'owner') {
    if (who === name || who === userId) return { userId, name };
    throw new VmcError('forbidden', `Only ${drive.ownerName ?? 'its owner'} can take the drive from others.`);
  }
  const params = { driveId: drive.driveId };
  const { people } = await ask(session, drivePeopleRoutes.drivePeople, { params, body: {} });
  return resolve(people, (it) => it.userId, who, 'person with whom it is shared');
}
