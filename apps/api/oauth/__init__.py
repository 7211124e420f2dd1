"""Signing a program in through the browser (OAuth 2.0, RFC 6749), by allauth's provider.

    program  ── /login/authorize, with the challenge of PKCE (RFC 7636) ──►  person signs in, allows
    program  ◄── a code, at an address of the machine that the browser runs on ──
    program  ── /login/oauth/token: the code, and what the challenge was made of ──►  tokens

    A machine without a browser shows a code instead, which the person types at /login/device
    (RFC 8628).

There is one client, the Astro CLI, and it is public: whoever runs it has its ID. What makes it safe
is that the code goes to the person's own machine alone, and that a person allowed it. Tokens are
kept together by the login that they belong to (`organizations.tokens.logins`).
"""
