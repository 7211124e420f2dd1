"""Alerts: people are told, where they read, of what went wrong in Deployments.

    results, incidents ──▶ evaluation ──▶ alert ──▶ delivery ──▶ channel
      (stored rows)        by the rules    (one per group)  (outbox)   e-mail, Slack, …

`notifier` is the loop: every few seconds it evaluates what was stored since (`sweep`), and hands
what is due in the outbox to threads (`deliveries.outbox`). All of it is in rows, so what a portal
missed while it was down is told late, and once.
"""
