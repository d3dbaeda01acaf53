/** `connect sftp` and `connect sshfs-line`: files of a VM by OpenSSH's own programs, with the identity as their key. */
import type { Command } from 'commander';
import type { SftpAccess } from '../../shared/api/tunnel.ts';
import { VmcError } from '../../shared/errors.ts';
import { type ConnectIo, note, reply } from '../io.ts';
import { withSession } from '../session.ts';
import { type Tunnel, untilStopped, withTunnel } from '../tunnel/open-tunnel.ts';
import { findVm } from '../vm/find.ts';
import { fileRights, requireSftp } from './requires-sftp.ts';
import { type SshPlace, sftpArguments } from './ssh-options.ts';
import { withSshPlace } from './ssh-place.ts';
import { sshfsLine } from './sshfs-line.ts';

interface Ready {
  vmName: string;
  sftp: SftpAccess;
  /** Of 127.0.0.1. */
  port: number;
  place: SshPlace;
}

export function addSftpCommands(program: Command, io: ConnectIo, handOn: (code: number) => void): void {
  program
    .command('sftp')
    .description("Move files to and from a VM by OpenSSH's sftp, through the tunnel")
    .argument('<vm>', 'name or id')
    .argument('[words...]', 'a path in the VM; after -- options of sftp: -a -b -B -f -l -N -p -q -r -R -v')
    .addHelpText(
      'after',
      '\nExample:\n  connect sftp lab\n  connect sftp lab /mnt/data\n  connect sftp lab --passphrase-fd 3 3<pass -- -b batch.txt',
    )
    .action((wanted: string, words: string[], _options: object, command: Command) =>
      withFiles(io, command, wanted, async ({ sftp, port, place }) => {
        handOn(await io.runHere('sftp', sftpArguments(place, sftp.user, port, words), io.signal));
      }),
    );

  program
    .command('sshfs-line')
    .description('Hold a VM open for sshfs, rclone or another SFTP client, and print how to use it, until Ctrl-C')
    .argument('<vm>', 'name or id')
    .option('--mount <folder>', 'where sshfs is to mount (default: ./VM)')
    .option('--json', 'answer as JSON')
    .addHelpText('after', '\nExample:\n  connect sshfs-line lab --mount ~/lab')
    .action((wanted: string, { mount, json }: { mount?: string; json?: boolean }, command: Command) =>
      withFiles(io, command, wanted, async ({ vmName, sftp, port, place }) => {
        const { user, hostKey, upload, download } = sftp;
        const line = sshfsLine(place, sftp, port, mount ?? `./${vmName}`);
        const { agentSocket, knownHosts } = place;
        const rclone = `SSH_AUTH_SOCK=${agentSocket} rclone lsf ":sftp,host=127.0.0.1,port=${port},user=${user},key_use_agent=true,known_hosts_file=${knownHosts}:"`;
        const answer = {
          vm: vmName,
          host: '127.0.0.1',
          port,
          user,
          hostKey,
          upload,
          download,
          agentSocket,
          knownHosts,
          rclone,
        };
        reply(io, json, { ...answer, line }, () => line);
        if (json !== true)
          note(
            io,
            [
              `${vmName}: ${fileRights(sftp)}, until Ctrl-C (unmount first: fusermount3 -u FOLDER). Other clients:`,
              `  host 127.0.0.1, port ${port}, user ${user}, host key ${hostKey}`,
              `  key: from the SSH agent at ${agentSocket}`,
              `  rclone: ${rclone}`,
            ].join('\n'),
          );
        await untilStopped(io);
      }),
    );
}

/** Everything that an SFTP client needs, for as long as `use` runs. */
function withFiles(
  io: ConnectIo,
  command: Command,
  wanted: string,
  use: (ready: Ready) => Promise<void>,
): Promise<void> {
  return withSession(io, command, async (session) => {
    const vm = await findVm(session, wanted);
    await withTunnel(session, vm, async (tunnel: Tunnel) => {
      const sftp = requireSftp(vm.name, (await tunnel.access.get()).sftp);
      const { port } = await tunnel.listen(sftp.port, 0);
      tunnel.warm();
      const { identity } = session;
      await withSshPlace(io.runtimeFolder, { identity, vmId: vm.vmId, port, sftp }, (place) =>
        use({ vmName: vm.name, sftp, port, place }),
      );
    });
    if (io.signal.aborted && command.name() === 'sftp') throw new VmcError('cancelled', 'Cancelled.');
  });
}
