// oidc-provider with its own pages for sign-in and consent, as a test's file describes it.
import { readFileSync } from 'node:fs';
import { Provider } from 'oidc-provider';

const { issuer, port, client, people } = JSON.parse(readFileSync(process.argv[2], 'utf8'));

const provider = new Provider(issuer, {
  clients: [client],
  claims: {
    openid: ['sub'],
    email: ['email', 'email_verified'],
    profile: ['name', 'groups'],
  },
  pkce: { required: () => true },
  features: { devInteractions: { enabled: true } },
  cookies: { keys: ['only-for-tests'] },
  findAccount: (_, id) => people[id] && {
    accountId: id,
    claims: async () => ({ sub: id, ...people[id] }),
  },
});

provider.listen(port, '127.0.0.1');
