/** Which OS account somebody gets: a name that is nobody else's, and a uid of our own range that was never anybody else's. Pure. */
import { VmcError } from '../../shared/errors.ts';

export interface Account {
  name: string;
  /** Of the account, and gid of its own group. */
  uid: number;
}

/** Below 60000, where Debian's reserved ids begin, and far above the accounts that people make by hand. */
export const UIDS = { first: 20_000, last: 59_999 } as const;

/** The group of everybody who may use drives. Its gid is the same in every VM, as drives go from one to another. */
export const DRIVES_GROUP: Account = { name: 'vmc-drives', uid: 19_999 };

/** useradd(8): at most 32 characters. */
const MAX_NAME = 32;
const CANDIDATES = 32;

/**
 * Names that give power as soon as some package makes them its own: whoever was there first would have it. So nobody gets
 * one, although none of them may be there today.
 */
const RESERVED = new Set(
  `adm admin administrator apache backup bin bind daemon dbus dialout disk docker ftp games gdm git grafana http incus input irc
  jenkins kmem kubelet kvm lightdm list lp lpadmin lxd mail man memcache messagebus mongodb munge mysql netdev news nginx nobody
  nogroup ntp openldap operator plugdev podman polkitd postfix postgres prometheus proxy rabbitmq redis render root rpc rpcuser
  rtkit saned sasl sddm sgx shadow slurm src sshd sssd staff statd sudo sync sys syslog tape tcpdump tomcat tss tty users
  utmp uucp uuidd video voice wheel wireshark www-data xrdp zabbix`.split(/\s+/),
);
const RESERVED_BEGINNING = /^(incus-|libvirt|systemd-|vmc)/;

export const isReserved = (name: string): boolean => RESERVED.has(name) || RESERVED_BEGINNING.test(name);

/** bob, bob-2, bob-3 …; never one that is reserved. @param wanted the person's name (`nameSchema`). */
export function candidateNames(wanted: string): string[] {
  if (RESERVED_BEGINNING.test(wanted)) return candidateNames(`u-${wanted}`.slice(0, MAX_NAME).replace(/-+$/, ''));
  const names = [wanted];
  for (let number = 2; names.length < CANDIDATES; number++) {
    const suffix = `-${number}`;
    names.push(wanted.slice(0, MAX_NAME - suffix.length) + suffix);
  }
  return names.filter((name) => !isReserved(name));
}

/**
 * Where to look for a free uid. It begins at a place that follows from the person's key, so that somebody has the same uid
 * in most VMs, and files on a drive that goes from one to another stay theirs.
 * @param digest of the person's key, at least 4 bytes.
 */
export function candidateUids(digest: Uint8Array, known: readonly Account[]): number[] {
  const used = new Set(known.map(({ uid }) => uid));
  const size = UIDS.last - UIDS.first + 1;
  const start = new DataView(digest.buffer, digest.byteOffset).getUint32(0) % size;
  const uids: number[] = [];
  for (let step = 0; step < size && uids.length < CANDIDATES; step++) {
    const uid = UIDS.first + ((start + step) % size);
    if (!used.has(uid)) uids.push(uid);
  }
  return uids;
}

export interface Taken {
  /** Of users, groups, and folders where homes are. */
  names: ReadonlySet<string>;
  /** Of users and groups. */
  ids: ReadonlySet<number>;
}

/** @param known everybody's who ever had one here. @throws VmcError 'limit' when none is free. */
export function planAccount(wanted: string, digest: Uint8Array, known: readonly Account[], taken: Taken): Account {
  const knownNames = new Set(known.map(({ name }) => name));
  const name = candidateNames(wanted).find((it) => !knownNames.has(it) && !taken.names.has(it));
  const uid = candidateUids(digest, known).find((it) => !taken.ids.has(it));
  if (name === undefined || uid === undefined)
    throw new VmcError(
      'limit',
      `There is no free account for ${wanted} in this VM: all ${name === undefined ? 'names like it' : 'user ids near theirs'} are taken.`,
      'Ask whoever looks after the VM to remove accounts that nobody needs.',
    );
  return { name, uid };
}
