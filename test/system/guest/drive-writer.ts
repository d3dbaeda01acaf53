/**
 * Somebody who works on a drive while it is re-encrypted: writes pieces all over a file, makes sure of them, and then notes
 * that on another disk. Each piece says which one it is; what it holds follows from that. It runs until it is killed.
 */
import { createHash } from 'node:crypto';
import { closeSync, fdatasyncSync, openSync, readFileSync, readSync, writeSync } from 'node:fs';

export const PIECE_BYTES = 4096;

/** Others want the VM's one CPU too. */
const BREATH_MS = 20;

export interface Pieces {
  file: string;
  /** A line for each piece that is on the drive for sure: its number and version. */
  notes: string;
  count: number;
}

/** Number, version, and what follows from both. */
export function piece(number: number, version: number): Buffer {
  const bytes = Buffer.alloc(PIECE_BYTES);
  bytes.writeUInt32LE(number, 0);
  bytes.writeUInt32LE(version, 4);
  const filling = createHash('sha512').update(bytes.subarray(0, 8)).digest();
  return bytes.fill(filling, 64);
}

/** Version 1 of all of it. */
export function writeAll({ file, count }: Pieces): void {
  const fd = openSync(file, 'w');
  for (let number = 0; number < count; number += 1) writeSync(fd, piece(number, 1));
  fdatasyncSync(fd);
  closeSync(fd);
}

export function goOnWriting({ file, notes, count }: Pieces): never {
  const breath = new Int32Array(new SharedArrayBuffer(4));
  const [fd, noteFd] = [openSync(file, 'r+'), openSync(notes, 'a')];
  for (let version = 2; ; version += 1) {
    const lines: string[] = [];
    for (let i = 0; i < 16; i += 1) {
      const number = Math.floor(Math.random() * count);
      writeSync(fd, piece(number, version), 0, PIECE_BYTES, number * PIECE_BYTES);
      lines.push(`${number} ${version}\n`);
    }
    fdatasyncSync(fd);
    writeSync(noteFd, lines.join(''));
    fdatasyncSync(noteFd);
    Atomics.wait(breath, 0, 0, BREATH_MS);
  }
}

export interface PiecesSeen {
  /** Of those noted. */
  noted: number;
  /** No piece at all: another's bytes, or half of one. */
  wrong: number[];
  /** Older than noted. */
  lost: number[];
}

export function lookAtPieces({ file, notes, count }: Pieces): PiecesSeen {
  const least = new Map<number, number>();
  const noted = readNotes(notes);
  for (const line of noted) {
    const [number = -1, version = -1] = line.split(' ').map(Number);
    least.set(number, Math.max(version, least.get(number) ?? 1));
  }
  const seen: PiecesSeen = { noted: noted.length, wrong: [], lost: [] };
  const fd = openSync(file, 'r');
  const bytes = Buffer.alloc(PIECE_BYTES);
  for (let number = 0; number < count; number += 1) {
    const length = readSync(fd, bytes, 0, PIECE_BYTES, number * PIECE_BYTES);
    const version = bytes.readUInt32LE(4);
    if (length !== PIECE_BYTES || !bytes.equals(piece(number, version))) seen.wrong.push(number);
    else if (version < (least.get(number) ?? 1)) seen.lost.push(number);
  }
  closeSync(fd);
  return seen;
}

/** A line that a power cut left half is none. */
function readNotes(path: string): string[] {
  try {
    return readFileSync(path, 'utf8').split('\n').slice(0, -1);
  } catch {
    return [];
  }
}
