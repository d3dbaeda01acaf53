/** From what a VM is to the document libvirt defines it by. https://libvirt.org/formatdomain.html */
import { createHash } from 'node:crypto';
import { type Allocation, type DiskCache, driverOptions } from '../drives/tuning.ts';
import { buildXml, type Xml } from '../libvirt/xml.ts';

export interface Boot {
  kernel: string;
  initrd: string;
  cmdline: string;
}

export interface DomainPlan {
  vmId: string;
  cores: number;
  memoryMiB: number;
  accelerator: 'kvm' | 'tcg';
  /** Direct kernel boot; without it SeaBIOS boots the root disk. */
  boot?: Boot | undefined;
  rootDisk: string;
  cache: DiskCache;
  network: string;
  mac: string;
  address: string;
  consoleLog: string;
  /** JSON: goes into the SMBIOS OEM strings as a systemd credential (systemd.system-credentials(7)). */
  bootstrap: string;
}

export interface DiskPlan {
  file: string;
  format: 'qcow2' | 'raw';
  cache: DiskCache;
  /** Default: sparse. */
  allocation?: Allocation;
  serial: string;
  /** 0 is the root disk. libvirt would put only 15 disks on a controller if it chose itself. */
  scsiTarget: number;
  readOnly: boolean;
  /** A VM starts without it when its file is gone. */
  optional?: boolean;
  /** Only this one is made to lead to another file. */
  overlay?: boolean;
}

export const CREDENTIAL_PREFIX = 'io.systemd.credential.binary:vmc.bootstrap=';
export const MAX_SCSI_TARGET = 254;

/** 0 → sda, 25 → sdz, 26 → sdaa, as the kernel and libvirt count. */
export function diskName(index: number): string {
  let letters = '';
  for (let rest = index; rest >= 0; rest = Math.floor(rest / 26) - 1)
    letters = String.fromCharCode(97 + (rest % 26)) + letters;
  return `sd${letters}`;
}

/** From the id, so that defining a VM again replaces it. RFC 9562 version 8 (custom). */
export function uuidOf(vmId: string): string {
  const bytes = createHash('sha256').update(vmId).digest().subarray(0, 16);
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x80;
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  const hex = bytes.toString('hex');
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
}

function disk(plan: DiskPlan): Xml {
  const { cache, io, discard, detectZeroes, errorPolicy } = driverOptions(plan.cache, plan.allocation ?? 'sparse');
  return {
    '@type': 'file',
    '@device': 'disk',
    driver: {
      '@name': 'qemu',
      '@type': plan.format,
      '@cache': cache,
      '@error_policy': errorPolicy,
      '@io': io,
      '@discard': discard,
      '@detect_zeroes': detectZeroes,
    },
    source: { '@file': plan.file, ...(plan.optional === true ? { '@startupPolicy': 'optional' } : {}) },
    // Empty: whatever the file says by the time QEMU opens it, there is nothing behind it.
    ...(plan.overlay === true ? {} : { backingStore: {} }),
    target: { '@dev': diskName(plan.scsiTarget), '@bus': 'scsi' },
    ...(plan.readOnly ? { readonly: {} } : {}),
    serial: plan.serial,
    address: { '@type': 'drive', '@controller': 0, '@bus': 0, '@target': plan.scsiTarget, '@unit': 0 },
  };
}

export const diskXml = (plan: DiskPlan): string => buildXml({ disk: disk(plan) });

export function domainXml(plan: DomainPlan): string {
  return buildXml({
    domain: {
      '@type': plan.accelerator === 'kvm' ? 'kvm' : 'qemu',
      name: plan.vmId,
      uuid: uuidOf(plan.vmId),
      memory: { '@unit': 'MiB', '#text': plan.memoryMiB },
      vcpu: plan.cores,
      sysinfo: {
        '@type': 'smbios',
        oemStrings: { entry: [{ '#text': CREDENTIAL_PREFIX + Buffer.from(plan.bootstrap).toString('base64') }] },
      },
      os: {
        type: { '@arch': 'x86_64', '@machine': 'q35', '#text': 'hvm' },
        ...(plan.boot === undefined
          ? { boot: { '@dev': 'hd' } }
          : { kernel: plan.boot.kernel, initrd: plan.boot.initrd, cmdline: plan.boot.cmdline }),
        smbios: { '@mode': 'sysinfo' },
      },
      features: { acpi: {}, apic: {} }, // acpi: the power button
      cpu: { '@mode': plan.accelerator === 'kvm' ? 'host-passthrough' : 'maximum' },
      clock: { '@offset': 'utc' },
      on_poweroff: 'destroy',
      on_reboot: 'restart',
      on_crash: 'destroy',
      devices: {
        controller: [
          { '@type': 'scsi', '@index': 0, '@model': 'virtio-scsi' },
          { '@type': 'usb', '@index': 0, '@model': 'none' },
        ],
        disk: [
          disk({
            file: plan.rootDisk,
            format: 'qcow2',
            cache: plan.cache,
            serial: 'root',
            scsiTarget: 0,
            readOnly: false,
            overlay: true,
          }),
        ],
        interface: {
          '@type': 'network',
          mac: { '@address': plan.mac },
          source: { '@network': plan.network },
          port: { '@isolated': 'yes' },
          model: { '@type': 'virtio' },
          filterref: { '@filter': ANTI_SPOOFING_FILTER, parameter: { '@name': 'IP', '@value': plan.address } },
        },
        // Under virtlogd (libvirt's default) this file is rotated; the daemon cuts it where virtlogd is not used.
        serial: {
          '@type': 'file',
          source: { '@path': plan.consoleLog, '@append': 'on' },
          target: { '@type': 'isa-serial', '@port': 0 },
        },
        rng: { '@model': 'virtio', backend: { '@model': 'random', '#text': '/dev/urandom' } },
        // No balloon: the host has no business in the guest's memory. No graphics, no guest agent either.
        memballoon: { '@model': 'none' },
      },
    },
  });
}

export const ANTI_SPOOFING_FILTER = 'vmc-anti-spoofing';
