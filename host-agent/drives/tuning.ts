/** What measurement decides about disk files, in one place. docs/performance.md has the figures. */

export type DiskCache = 'none' | 'writeback';
export type Allocation = 'sparse' | 'falloc' | 'full';

/**
 * Of new qcow2 files. Clusters of 64 KiB are what discard frees at a time; reference counts are on disk at once, so that
 * a crash of the host needs no repair.
 */
const QCOW2 = { lazy_refcounts: 'off', cluster_size: 65536, extended_l2: 'off' } as const;

/** The value of `qemu-img -o`. */
export function imageOptions(format: 'qcow2' | 'raw', allocation: Allocation): string {
  const preallocation = allocation === 'sparse' ? 'off' : allocation;
  const options = { preallocation, ...(format === 'qcow2' ? QCOW2 : {}) };
  return Object.entries(options)
    .map(([name, value]) => `${name}=${value}`)
    .join(',');
}

/** Of libvirt's `<driver>` element. */
export function driverOptions(cache: DiskCache, allocation: Allocation) {
  return {
    cache,
    // Linux AIO needs O_DIRECT, which cache=none means.
    io: cache === 'none' ? 'native' : 'threads',
    // Space that was set aside on purpose stays so.
    discard: allocation === 'sparse' ? 'unmap' : 'ignore',
    // What a LUKS drive holds is never zero: looking for zeroes would only cost time.
    detectZeroes: 'off',
    // A full pool stops the machine instead of failing its writes: nothing is lost, and it can go on.
    errorPolicy: 'enospace',
  } as const;
}
