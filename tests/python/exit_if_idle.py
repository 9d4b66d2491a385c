"""Ending papad, through papa's client. papad must hold nothing, and holds nothing after it."""

import papa
import client  # noqa: F401, for the port

with papa.Papa() as p:
    p.set('a', 'one')
    assert p.exit_if_idle() is False
    p.remove_values('a')
    p.make_socket('web')
    assert p.exit_if_idle() is False
    p.remove_sockets('web')
    assert p.exit_if_idle() is True
