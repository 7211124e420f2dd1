"""People and programs that get a page's messages: subscribing, the mail run, and receivers.

e-mail ──▶ question ──▶ click ──▶ mail runs (`mailing`)
webhook, Slack ──▶ question ──▶ answer or click ──▶ updates, one at a time (`delivering`)
"""
