"""Which runs and tasks ended, one by one: what alerts are made of.

The collector asks for them with each of its questions (`collecting`), from the end it knows last;
`reading` takes the answer apart, `storage` keeps it for a while.
"""
