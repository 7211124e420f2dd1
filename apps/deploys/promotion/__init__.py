"""Running in one Deployment what runs in another: the same code and packages, not built again.

promote ─► deployed
   └─► open ─► deployed (another person approved it)
         ├───► declined
         ├───► withdrawn (by who asked)
         └───► expired (a week later)

`rules` says where approval is needed, `comparing` what differs, `services` moves the states. All of
it is checked again when it is approved: what the Deployment is now, and what the person who asked
may do now.
"""
