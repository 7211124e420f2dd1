"""One change to many Deployments, a few at a time. Rows hold all of it, so that any worker goes on
where another one ended:

    draft ──▶ running ──▶ ended        items:  waiting ──▶ running ──▶ done
      │        │    ▲                             │  ▲        └──────▶ failed ──▶ waiting (again)
      ▼        ▼    │                             ▼  └── refused: resumed where that is mended
    (gone)    stopped ──▶ ended                skipped

A draft is the preview: what would change, and what is refused and why. `running` begins items, and
looks what became of their operations; rights are asked again before each. `actions` has one small
class for each kind of change.
"""
