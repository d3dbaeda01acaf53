/** What is packaged: one row a product. Everything else in this folder reads this table. */

export const PRODUCT_NAMES = ['vmc', 'host-agent', 'backend', 'connect'] as const;
export type ProductName = (typeof PRODUCT_NAMES)[number];

export interface Product {
  /** The command's name in /usr/bin, and the folder of its source. */
  name: ProductName;
  /** The Debian package's name; its files are in /usr/lib/<package>. */
  package: string;
  summary: string;
  /** Debian packages it runs (Node's own needs are added to all). */
  depends: readonly string[];
  recommends: readonly string[];
  /** Files of systemd/ that go to /usr/lib/systemd/system. */
  units: readonly string[];
  /** Those that an upgrade restarts, when they run, and a removal stops. */
  services: readonly string[];
  /** Sockets and timers, which would start a service again: a removal stops them first. */
  sockets: readonly string[];
  /**
   * Symlinks that pull units in, made by the package itself: they also work in a chroot, and nobody switches them
   * off by accident. `[folder under /usr/lib/systemd/system, unit]`.
   */
  wiring: readonly (readonly [string, string])[];
  /** Options of Node for the command; a service has its own in its unit. */
  nodeOptions?: readonly string[];
  /** Other files: path on the machine → path in this repository. Those under /etc are conffiles. */
  files: Readonly<Record<string, string>>;
}

/** What the pinned Node binary links to (readelf -d) beyond libc. */
export const NODE_DEPENDS = ['libc6 (>= 2.28)', 'libatomic1', 'libstdc++6', 'libgcc-s1'] as const;

/** Whatever brings the network up in the VM must not do so when the firewall could not be loaded. */
const NETWORK_SERVICES = ['systemd-networkd.service', 'NetworkManager.service', 'networking.service'];

export const PRODUCTS: Readonly<Record<ProductName, Product>> = {
  vmc: {
    name: 'vmc',
    package: 'vmc',
    summary: 'controller inside a research VM: access, drives, files, firewall',
    depends: [
      'btrfs-progs',
      'cryptsetup-bin',
      'dmsetup',
      'e2fsprogs',
      'iproute2',
      'mount',
      'nftables',
      'openssh-sftp-server',
      'passwd',
      'udev',
      'util-linux',
      'xfsprogs',
    ],
    recommends: ['nfs-common'],
    units: ['vmc.service', 'vmc.socket', 'vmc-firewall.service', 'vmc-trim.service', 'vmc-trim.timer'],
    services: ['vmc.service'],
    sockets: ['vmc.socket', 'vmc-trim.timer'],
    wiring: [
      ['multi-user.target.wants', 'vmc.service'],
      ['sysinit.target.wants', 'vmc-firewall.service'],
      ['timers.target.wants', 'vmc-trim.timer'],
      ...NETWORK_SERVICES.map((service) => [`${service}.requires`, 'vmc-firewall.service'] as const),
    ],
    files: {
      '/usr/lib/vmc/boot.nft': 'systemd/boot.nft',
      '/usr/lib/sysctl.d/60-vmc.conf': 'systemd/60-vmc.sysctl.conf',
      '/usr/lib/udev/rules.d/54-vmc-drives.rules': 'systemd/54-vmc-drives.rules',
      '/usr/lib/udev/rules.d/56-vmc-drives.rules': 'systemd/56-vmc-drives.rules',
      '/etc/vmc/vmc.toml': 'packaging/etc/vmc.toml',
    },
  },
  'host-agent': {
    name: 'host-agent',
    package: 'vmc-host-agent',
    summary: 'agent on a libvirt server that hosts research VMs',
    depends: [
      'dnsmasq-base',
      'ipset',
      'iproute2',
      'iptables',
      'libvirt-clients',
      'libvirt-daemon-system',
      'qemu-system-x86',
      'qemu-utils',
    ],
    recommends: [],
    units: ['host-agent.service'],
    services: ['host-agent.service'],
    sockets: [],
    wiring: [],
    files: { '/etc/vmc/host-agent.toml': 'packaging/etc/host-agent.toml' },
  },
  backend: {
    name: 'backend',
    package: 'vmc-backend',
    summary: 'backend of research VMs: rest, relay and endpoints',
    depends: [],
    recommends: [],
    units: ['backend.service', 'backend-relay.service'],
    services: ['backend.service', 'backend-relay.service'],
    sockets: [],
    wiring: [],
    files: {
      '/etc/vmc/backend.toml': 'packaging/etc/backend.toml',
      '/etc/vmc/relay.toml': 'packaging/etc/relay.toml',
    },
  },
  connect: {
    name: 'connect',
    package: 'vmc-connect',
    summary: 'a person’s tool for research VMs: keys, drives, tunnels',
    depends: [],
    recommends: ['openssh-client'],
    // As in vmc.service, for the tunnel: docs/performance.md.
    nodeOptions: ['--max-semi-space-size=1', '--single-threaded-gc', '--heap-growing-percent=400'],
    units: [],
    services: [],
    sockets: [],
    wiring: [],
    files: {},
  },
};
