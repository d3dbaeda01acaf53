/** What makes a plain Debian a research VM's system: files, and units that are switched on or off. */

export interface ImageFile {
  /** Absolute path in the VM. */
  path: string;
  data: string | Uint8Array;
  mode: number;
}

export const ROOT_LABEL = 'vmc-root';

/**
 * For direct kernel boot. The console is the first serial port, where vmc prints its fingerprint. `quiet` because each
 * line costs time there; systemd still shows what fails.
 */
export const KERNEL_CMDLINE = [
  `root=LABEL=${ROOT_LABEL}`,
  'rootfstype=ext4',
  'ro',
  'console=ttyS0',
  'quiet',
  'panic=10',
  'net.ifnames=0',
  'noresume',
].join(' ');

/** What the machine's bus offers and a research VM has no use for. `blacklist` stops only the loading by hardware name. */
const UNUSED_MODULES = [
  'ata_generic',
  'ata_piix',
  'joydev',
  'kvm_amd',
  'kvm_intel',
  'pcspkr',
  'psmouse',
  'serio_raw',
  'sg',
];

/** Devices that no rule does anything for here; without KVM each costs a boot tens of milliseconds. */
const QUIET_SUBSYSTEMS = [
  'bdi',
  'clockevents',
  'clocksource',
  'machinecheck',
  'mem',
  'memory',
  'tty',
  'vc',
  'vtconsole',
  'workqueue',
];

export const SYSTEM_FILES: readonly ImageFile[] = [
  { path: '/etc/fstab', data: `LABEL=${ROOT_LABEL} / ext4 noatime,errors=remount-ro 0 1\n`, mode: 0o644 },
  {
    path: '/etc/modprobe.d/vmc.conf',
    data: UNUSED_MODULES.map((name) => `blacklist ${name}\n`).join(''),
    mode: 0o644,
  },
  {
    path: '/etc/systemd/system/systemd-udev-trigger.service.d/vmc.conf',
    data: [
      '[Service]',
      'ExecStart=',
      'ExecStart=-udevadm trigger --type=subsystems --action=add',
      `ExecStart=-udevadm trigger --type=devices --action=add ${QUIET_SUBSYSTEMS.map((name) => `--subsystem-nomatch=${name}`).join(' ')}`,
      '',
    ].join('\n'),
    mode: 0o644,
  },
  { path: '/etc/hostname', data: 'vm\n', mode: 0o644 },
  { path: '/etc/hosts', data: '127.0.0.1 localhost vm\n::1 localhost\n', mode: 0o644 },
  // Empty, not missing: each VM makes its own at its first boot, and it is not a "first boot" that asks questions.
  { path: '/etc/machine-id', data: '', mode: 0o444 },
  {
    path: '/etc/systemd/network/10-vmc.network',
    data: [
      '# One address by DHCP; no IPv6, which the firewall does not open either.',
      '[Match]',
      'Name=en* eth*',
      '[Network]',
      'DHCP=ipv4',
      'LinkLocalAddressing=no',
      'IPv6AcceptRA=no',
      '[DHCPv4]',
      'UseHostname=no',
      'UseNTP=no',
      'ClientIdentifier=mac',
      '',
    ].join('\n'),
    mode: 0o644,
  },
  {
    path: '/etc/systemd/system/systemd-networkd-wait-online.service.d/vmc.conf',
    // vmc waits for it, and tries by itself after that.
    data: '[Service]\nExecStart=\nExecStart=/lib/systemd/systemd-networkd-wait-online --any --ipv4 --timeout=20\n',
    mode: 0o644,
  },
  {
    path: '/etc/systemd/resolved.conf.d/vmc.conf',
    data: '# The host answers, for allowed names only; nobody else is asked.\n[Resolve]\nFallbackDNS=\nLLMNR=no\nMulticastDNS=no\nDNSSEC=no\n',
    mode: 0o644,
  },
  {
    path: '/etc/systemd/journald.conf.d/vmc.conf',
    // In memory: the system disk is not encrypted, and what people do here is not for the host to read.
    data: '[Journal]\nStorage=volatile\nRuntimeMaxUse=32M\nForwardToSyslog=no\nForwardToWall=no\n',
    mode: 0o644,
  },
  {
    path: '/etc/systemd/logind.conf.d/vmc.conf',
    data: '[Login]\nNAutoVTs=0\nReserveVT=0\nHandlePowerKey=poweroff\n',
    mode: 0o644,
  },
];

export const ENABLED_UNITS = [
  'systemd-networkd.service',
  'systemd-networkd-wait-online.service',
  'systemd-resolved.service',
] as const;

/** No login at any console; nothing that runs by the clock; nothing that a boot waits for in vain. */
export const MASKED_UNITS = [
  'apt-daily-upgrade.timer',
  'apt-daily.timer',
  'autovt@.service',
  'console-getty.service',
  'dev-hugepages.mount',
  'dpkg-db-backup.timer',
  'e2scrub_all.timer',
  'e2scrub_reap.service',
  'fstrim.timer', // vmc trims
  'getty.target',
  'getty@.service',
  'nfs-client.target', // NFS 4 needs none of what follows
  'proc-sys-fs-binfmt_misc.automount',
  'rpc-statd-notify.service',
  'rpcbind.service',
  'rpcbind.socket',
  'serial-getty@.service',
  'sys-kernel-config.mount',
  'sys-kernel-debug.mount',
  'sys-kernel-tracing.mount',
  'systemd-binfmt.service',
  'systemd-pstore.service',
  'systemd-update-utmp-runlevel.service',
  'systemd-update-utmp.service',
  'xfs_scrub_all.timer',
] as const;

/** Made again, differently, by each VM; a shared one would tie VMs together. Paths relative to the root. */
export const REMOVED_PATHS = [
  'var/lib/systemd/random-seed',
  'var/lib/dbus/machine-id',
  'etc/ssh',
  'var/log/journal',
  'etc/resolv.conf',
] as const;
