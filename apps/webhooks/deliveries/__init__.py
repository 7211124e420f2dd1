"""The way of an event to receivers: `dispatching` writes a delivery for each webhook that wants it,
`outbox` takes what is due, tries again and gives up, `sending` is one attempt.
"""
