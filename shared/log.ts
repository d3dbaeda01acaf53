/** The log of a daemon: one JSON line an event on stdout (pino), which journald keeps. No secret is ever within its reach. */
import { pino } from 'pino';
import { VmcError } from './errors.ts';

export interface Log {
  info(event: string, fields?: Record<string, unknown>): void;
  warn(event: string, fields?: Record<string, unknown>): void;
  error(event: string, fields?: Record<string, unknown>): void;
}

export const LOG_LEVELS = ['debug', 'info', 'warn', 'error'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** @param name e.g. 'vmc'. */
export function makeLog(name: string, level: LogLevel): Log {
  const logger = pino({
    name,
    level,
    base: { name },
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label) => ({ level: label }) },
  });
  return {
    info: (event, fields) => logger.info({ event, ...fields }),
    warn: (event, fields) => logger.warn({ event, ...fields }),
    error: (event, fields) => logger.error({ event, ...fields }),
  };
}

/** An error as log fields: code and message, and the stack only of what is a defect. */
export function errorFields(error: unknown): Record<string, unknown> {
  if (error instanceof VmcError) return { code: error.code, problem: error.message };
  if (error instanceof Error) return { problem: error.message, stack: error.stack };
  return { problem: String(error) };
}
