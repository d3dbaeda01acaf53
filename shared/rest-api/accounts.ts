/** Accounts and sign-in: by signature, no passwords (requirement B2). */
import * as z from 'zod';
import { publicIdentitySchema } from '../identity/public-identity.ts';
import { base64Schema, nameSchema, userIdSchema } from '../names.ts';
import { challengeRoute } from './challenge.ts';
import { defineRoute, none } from './route.ts';

export const roleSchema = z.enum(['super-admin', 'admin', 'sub-admin', 'user']);

export const userSchema = z.object({
  userId: userIdSchema,
  name: nameSchema,
  role: roleSchema,
  fingerprint: z.string(),
  identity: publicIdentitySchema,
});
export type User = z.output<typeof userSchema>;

const challenge = base64Schema(32, 32);
const signature = base64Schema(64, 64);

export const accountRoutes = {
  /** Statement "account-claim" over: code (UTF-8), name (UTF-8), ed25519, x25519, mlkem768, the backend's pin (hex as UTF-8). */
  claim: defineRoute({
    method: 'POST',
    path: '/v1/claim',
    summary: 'Make an account with a one-time code',
    auth: 'none',
    params: none,
    body: z.strictObject({
      code: z.string().min(16).max(64),
      name: nameSchema,
      identity: publicIdentitySchema,
      signature,
    }),
    result: userSchema,
  }),
  challenge: challengeRoute,
  /** Statement "sign-in" over: challenge, ed25519, the backend's pin (hex as UTF-8). */
  signIn: defineRoute({
    method: 'POST',
    path: '/v1/session',
    summary: 'Sign in with a signed challenge',
    auth: 'none',
    params: none,
    body: z.strictObject({ ed25519: base64Schema(32, 32), challenge, signature }),
    result: z.object({ session: z.string().min(32).max(64), expiresAt: z.number().int(), user: userSchema }),
  }),
  signOut: defineRoute({
    method: 'DELETE',
    path: '/v1/session',
    summary: 'End this session and close its endpoints',
    auth: 'user',
    params: none,
    body: none,
    result: z.object({}),
  }),
  me: defineRoute({
    method: 'GET',
    path: '/v1/me',
    summary: 'The account in use',
    auth: 'user',
    params: none,
    body: none,
    result: userSchema,
  }),
  userList: defineRoute({
    method: 'GET',
    path: '/v1/users',
    summary: 'All accounts',
    auth: 'user',
    params: none,
    body: none,
    result: z.object({ users: z.array(userSchema) }),
  }),
  userInvite: defineRoute({
    method: 'POST',
    path: '/v1/users',
    summary: 'Make a one-time code with which a new person claims an account',
    auth: 'admin',
    params: none,
    body: z.strictObject({ role: roleSchema.default('user') }),
    result: z.object({ code: z.string(), expiresAt: z.number().int() }),
  }),
};
