/** What whoever signs something asks for first. A file of its own: vmc needs it, and no other route of accounts. */
import * as z from 'zod';
import { base64Schema } from '../names.ts';
import { defineRoute, none } from './route.ts';

export const challengeRoute = defineRoute({
  method: 'POST',
  path: '/v1/session/challenge',
  summary: 'Ask for a challenge to sign (valid for one minute, once)',
  auth: 'none',
  params: none,
  body: none,
  result: z.object({ challenge: base64Schema(32, 32) }),
});
