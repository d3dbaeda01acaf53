/**
 * What a person would type in the VM instead, as shell scripts: the same programs with the same options as vmc, and none of
 * its checks. Each script says how many milliseconds its commands took; starting the shell is not counted.
 */
import type { VmProgram } from '../../demo/vm-program-client.ts';

const KEY_FILE = '/run/bench.key';
/** "$1" is the device, "$2" the name of the mapping and of the folder under /mnt. */

const OPEN =
  'cryptsetup open --type luks2 --allow-discards --perf-no_read_workqueue --perf-no_write_workqueue' +
  ` --key-file ${KEY_FILE} "$1" "$2"`;
export const MAKE_EXT4 = 'mkfs.ext4 -q -F -m 0 -b 4096 -E nodiscard,lazy_itable_init=1,lazy_journal_init=1';

const SCRIPTS = {
  format: [
    'cryptsetup luksFormat --batch-mode --type luks2 --cipher aes-xts-plain64 --key-size 512 --sector-size 4096' +
      ` --pbkdf pbkdf2 --pbkdf-force-iterations 1000 --hash sha256 --key-file ${KEY_FILE} "$1"`,
    OPEN,
    `${MAKE_EXT4} "/dev/mapper/$2"`,
    `cryptsetup close "$2"`,
  ],
  open: [`mkdir -p "/mnt/$2"`, OPEN, `mount -t ext4 -o nodev,nosuid,rw "/dev/mapper/$2" "/mnt/$2"`],
  close: [`umount "/mnt/$2"`, `rmdir "/mnt/$2"`, `cryptsetup close "$2"`],
} as const;

export interface ByHand {
  device: string;
  /** Of the mapping, and of the folder under /mnt. */
  name: string;
}

/** @returns milliseconds. */
export async function byHand(vm: VmProgram, what: keyof typeof SCRIPTS, { device, name }: ByHand): Promise<number> {
  const lines = ['set -e', 'from=$EPOCHREALTIME', ...SCRIPTS[what], 'to=$EPOCHREALTIME', 'echo $from $to'];
  const [from, to] = (await vm.exec(['bash', '-c', lines.join('\n'), 'bash', device, name]))
    .trim()
    .split(' ')
    .map(Number);
  if (from === undefined || to === undefined) throw new Error('the script did not say how long it took');
  return (to - from) * 1000;
}

export const makeKeyFile = (vm: VmProgram): Promise<string> =>
  vm.exec(['sh', '-c', `umask 077; head -c 32 /dev/urandom > ${KEY_FILE}`]);
