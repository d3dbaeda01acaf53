/** /proc/PID/mountinfo (proc_pid_mountinfo(5)). */

export interface Mount {
  /** major:minor */
  device: string;
  mountPoint: string;
  /** The part of the file system that is mounted: / unless it is a bind mount of a folder. */
  root: string;
  readOnly: boolean;
  fileSystem: string;
  /** A device, or a server's export as 10.0.0.5:/export. */
  source: string;
}

export function parseMountinfo(text: string): Mount[] {
  return text.split('\n').flatMap((line) => {
    const [left = '', right = ''] = line.split(' - ');
    const [, , device, root, mountPoint, options] = left.split(' ');
    const [fileSystem, source = '', superOptions = ''] = right.split(' ');
    if (device === undefined || root === undefined || mountPoint === undefined || fileSystem === undefined) return [];
    const readOnly = options?.split(',').includes('ro') === true || superOptions.split(',').includes('ro');
    return [
      {
        device,
        mountPoint: unescapeOctal(mountPoint),
        root: unescapeOctal(root),
        readOnly,
        fileSystem,
        source: unescapeOctal(source),
      },
    ];
  });
}

/** Space, tab, line feed and backslash are written as \040 and so on. */
const unescapeOctal = (text: string) =>
  text.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
