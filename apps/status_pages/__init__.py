"""Status pages: what an organization tells people outside of how its pipelines are.

    health of Deployments ──▶ component ──▶ seconds of each day (bars)
      (incidents, clusters)       │
                                  ▼
    people ──▶ reports ──▶ content ──▶ copy ──▶ web process, folder, bucket
                  │                 (HTML, JSON, feeds, calendar, badge)
                  └──▶ mailing ──▶ subscribers;  alerts' outbox ──▶ Slack, webhooks

`reporter` is the loop that does it, beside the notifier. A visit reads a copy that was written
before: it costs no query, and the copy is right while the portal is down, because it says when it
was written. Names on a page are written by people; nothing is named after a Deployment.
"""
