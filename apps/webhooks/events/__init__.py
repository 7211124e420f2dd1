"""What happens: the outbox that triggers write (`models`), topics that people choose (`topics`),
the shape of what is sent (`shapes`), its composition (`composing`) and its documentation
(`reference`).
"""
