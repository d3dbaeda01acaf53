/** What OpenSSH's clients are told, so that they talk to one VM with one key by approved algorithms. Pure. */
import { VmcError } from '../../shared/errors.ts';
import { shortened } from '../../shared/printable.ts';

export interface SshPlace {
  /** All without characters that ssh_config would read as something else. */
  agentSocket: string;
  knownHosts: string;
  publicKey: string;
  /** Where `sshConfig` of this place is. */
  config: string;
  /** The name under which `knownHosts` has the VM's key. */
  alias: string;
}

/**
 * The only ssh_config(5) that they read: a file, as sshfs takes just some keywords on its command line. With -F neither the
 * person's own nor the system's is read.
 */
export function sshConfig(place: Omit<SshPlace, 'config'>): string {
  return `${sshOptions(place).join('\n')}\n`;
}

const sshOptions = ({ agentSocket, knownHosts, publicKey, alias }: Omit<SshPlace, 'config'>): string[] => [
  `HostKeyAlias=${alias}`,
  `UserKnownHostsFile=${knownHosts}`,
  'GlobalKnownHostsFile=none',
  'StrictHostKeyChecking=yes',
  'UpdateHostKeys=no',
  'CheckHostIP=no',
  'VerifyHostKeyDNS=no',
  `IdentityAgent=${agentSocket}`,
  `IdentityFile=${publicKey}`,
  'IdentitiesOnly=yes',
  'PreferredAuthentications=publickey',
  'PasswordAuthentication=no',
  'KbdInteractiveAuthentication=no',
  'HostbasedAuthentication=no',
  'GSSAPIAuthentication=no',
  'KexAlgorithms=ecdh-sha2-nistp256,ecdh-sha2-nistp384',
  'HostKeyAlgorithms=ssh-ed25519',
  'PubkeyAcceptedKeyTypes=ssh-ed25519',
  'Ciphers=aes256-gcm@openssh.com,aes128-gcm@openssh.com',
  'ForwardAgent=no',
  'ForwardX11=no',
  'ClearAllForwardings=yes',
  'PermitLocalCommand=no',
  'ControlMaster=no',
  'ControlPath=none',
  'Compression=no',
];

/** Options of sftp(1) that change how files are moved, and not with whom it talks. True: it has a value. */
const PASSED_ON: Readonly<Record<string, boolean>> = {
  ...{ '-a': false, '-f': false, '-N': false, '-p': false, '-q': false, '-r': false, '-v': false },
  ...{ '-b': true, '-B': true, '-l': true, '-R': true },
};

/**
 * @param words what stands after the VM: a path there, or options after `--`.
 * @throws VmcError 'bad-request' for an option that is not passed on.
 */
export function sftpArguments(place: SshPlace, user: string, port: number, words: readonly string[]): string[] {
  const passed: string[] = [];
  let path: string | undefined;
  for (let i = 0; i < words.length; i++) {
    const word = words[i] ?? '';
    const option = word.startsWith('-') && word !== '-';
    const hasValue = PASSED_ON[word];
    if (!option && path === undefined) path = word;
    else if (option && hasValue !== undefined) {
      passed.push(word);
      if (hasValue) passed.push(words[++i] ?? missing(word));
    } else
      throw new VmcError(
        'bad-request',
        `"${shortened(word)}" is not passed on to sftp.`,
        `One path, and after -- any of ${Object.keys(PASSED_ON).join(' ')}, each for itself.`,
      );
  }
  const target = `${user}@127.0.0.1${path === undefined ? '' : `:${path}`}`;
  return ['-F', place.config, '-P', String(port), ...passed, target];
}

function missing(option: string): never {
  throw new VmcError('bad-request', `${option} needs a value.`);
}
