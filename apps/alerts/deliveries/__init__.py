"""The outbox: `messages` in words, `payloads` for each kind of channel, `sending` one of them, and
`outbox`, which takes what is due, tries again and gives up. The rows are kept as a log.
"""
