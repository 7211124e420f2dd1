"""Deploys from git: a push becomes a deploy of every Deployment that follows its branch.

    webhook ── a hint ──┐
    beat, each minute ──┴─▶ polling.poll ─▶ servers: git ls-remote  ─▶ is it a new commit?
                                                                          │ yes
    previews.services.submit ◀─ an archive of the folder ◀─ git fetch ◀───┘

One job at a time looks at a repository (`leases`). The program `git` runs in processes of its own
with limits and without an environment (`servers`); a secret reaches it in a file that only the
portal's user may read. Nothing that a webhook says is believed, except that it is time to look.
"""
