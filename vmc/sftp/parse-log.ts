/**
 * What OpenSSH's sftp-server(8) says on stderr with `-e -l VERBOSE`, a line at a time. Pure.
 *
 * Names are written as vis(3) with VIS_SAFE and VIS_OCTAL does, between quotes that may be in the name too. Line feeds and
 * carriage returns are NOT escaped: a name with CR LF in it looks like two lines, the second of which its owner can make up.
 * So what is said here of a session can have more in it than happened, but nothing is missing: a line that is not
 * understood is `unclear`, not nothing, and the end of a line that tells of bytes is never taken for anything else.
 */

export type LogLine =
  | { kind: 'open'; name: string; writes: boolean }
  | { kind: 'close'; name: string; read: number; written: number; forced: boolean }
  | { kind: 'change'; what: Change; target: string }
  /** A request that this session may not make. */
  | { kind: 'refused'; request: string }
  /** The answer to what the line before began, when it was no success. */
  | { kind: 'status'; text: string }
  | { kind: 'noise' }
  | { kind: 'unclear'; text: string };

export type Change = 'remove' | 'mkdir' | 'rmdir' | 'rename' | 'link';

const OPEN = /^open "([\s\S]*)" flags ([A-Z,]*) mode 0[0-7]{1,8}$/;
const CLOSE = /^(forced )?close "([\s\S]*)" bytes read (\d{1,20}) written (\d{1,20})$/;
const STATUS = /^sent status ([A-Za-z ]{1,40})$/;
const REFUSED =
  /^Refusing (?:non-allowlisted |denylisted )?([a-z0-9-]{1,40}(?:@openssh\.com)?) request(?: in read-only mode)?$/;
const CHANGES: readonly (readonly [RegExp, Change])[] = [
  [/^remove name "([\s\S]*)"$/, 'remove'],
  [/^mkdir name "([\s\S]*)" mode 0[0-7]{1,8}$/, 'mkdir'],
  [/^rmdir name "([\s\S]*)"$/, 'rmdir'],
  // Where the first name ends and the second begins cannot be told for sure: both are kept as they stand.
  [/^(?:posix-)?rename old ("[\s\S]*" new "[\s\S]*")$/, 'rename'],
  [/^(?:sym|hard)link old ("[\s\S]*" new "[\s\S]*")$/, 'link'],
];
const NOISE = [
  /^session (?:opened|closed) for local user [a-z0-9_-]{1,64} from \[[0-9A-Za-z.:]{1,64}\]$/,
  /^received client version \d{1,10}$/,
  /^users-groups-by-id: \d{1,10} users, \d{1,10} groups$/,
  /^(?:forced )?closedir "[\s\S]*"$/,
  /^(?:opendir|realpath|expand|readlink|statvfs|fsync|home-directory) "[\s\S]*"$/,
  /^l?stat name "[\s\S]*"$/,
  /^set "[\s\S]*" (?:size \d{1,20}|mode [0-7]{4,8}|modtime [0-9:-]{1,32}|owner \d{1,10} group \d{1,10})$/,
];

/** @param text a line without its CR LF, a character for each byte. */
export function parseLogLine(text: string): LogLine {
  const [, forced, closed, read, written] = CLOSE.exec(text) ?? [];
  if (closed !== undefined)
    return {
      kind: 'close',
      name: readable(closed),
      ...{ read: Number(read), written: Number(written) },
      forced: forced !== undefined,
    };
  const [, opened, flags = ''] = OPEN.exec(text) ?? [];
  if (opened !== undefined)
    return {
      kind: 'open',
      name: readable(opened),
      writes: flags.split(',').some((flag) => flag === 'WRITE' || flag === 'APPEND'),
    };
  const [, status] = STATUS.exec(text) ?? [];
  if (status !== undefined) return { kind: 'status', text: status };
  const [, request] = REFUSED.exec(text) ?? [];
  if (request !== undefined) return { kind: 'refused', request };
  for (const [pattern, what] of CHANGES) {
    const [, target] = pattern.exec(text) ?? [];
    if (target !== undefined) return { kind: 'change', what, target: readable(target) };
  }
  if (NOISE.some((pattern) => pattern.test(text))) return { kind: 'noise' };
  return { kind: 'unclear', text: readable(text) };
}

const fatal = new TextDecoder('utf-8', { fatal: true });

/** Without vis(3)'s escapes when that is text; as it was written when it is not. */
function readable(escaped: string): string {
  const plain = escaped.replace(/\\(?:\\|([0-3][0-7]{2}))/g, (_all, octal: string | undefined) =>
    octal === undefined ? '\\' : String.fromCharCode(Number.parseInt(octal, 8)),
  );
  try {
    return fatal.decode(Uint8Array.from(plain, (character) => character.charCodeAt(0)));
  } catch {
    return escaped;
  }
}
