/** udev's names for disks (60-persistent-storage.rules). */

/** As `driveIdOfLink`, for ISO images too. */
export const diskIdOfLink = (link: string): string | undefined => driveIdOfLink(link) ?? isoIdOfLink(link);

export function isoIdOfLink(link: string): string | undefined {
  return /_(iso[0-9a-f]{16})$/.exec(link)?.[1];
}

/** 'scsi-0QEMU_QEMU_HARDDISK_drv0123456789abcdef' → the id; undefined for partitions and for disks that are no drives. */
export function driveIdOfLink(link: string): string | undefined {
  return /_(drv[0-9a-f]{16})$/.exec(link)?.[1];
}
