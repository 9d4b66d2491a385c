"""What the scripts share: papa's client, for the papad whose port is the first argument."""

import contextlib
import faulthandler
import os
import sys
import unittest

import papa

DEADLINE = 60  # Seconds for a whole script; reached only when something never comes.

faulthandler.dump_traceback_later(DEADLINE, exit=True)
papa.set_default_port(int(sys.argv.pop(1)))
# The client would start a papa of its own where it finds none.
papa.Papa.spawned = True

needs_root = unittest.skipUnless(os.geteuid() == 0, 'only root may become somebody else')


def shell(script):
    """The arguments of make_process that have a shell run `script`."""
    return {'executable': '/bin/sh', 'args': ['-c', script]}


def gather(watcher):
    """Reads to the end of a watch: stdout, stderr and exit codes, each by process name."""
    out, err, codes = {}, {}, {}
    while watcher:
        reply = watcher.read()
        if reply is None:
            break
        for pieces, kept in ((reply[0], out), (reply[1], err)):
            for piece in pieces:
                kept[piece.name] = kept.get(piece.name, b'') + piece.data
        codes.update((end.name, end.data) for end in reply[2])
    assert codes == watcher.exit_code, (codes, watcher.exit_code)
    return out, err, codes


class PapaTest(unittest.TestCase):
    """Each test has a client, and leaves papad as empty as it found it."""

    def setUp(self):
        self.papa = papa.Papa()
        self.addCleanup(self.papa.close)
        self.addCleanup(self.clear)

    def clear(self):
        self.papa.remove_sockets()
        for name in self.papa.list_values():
            self.papa.remove_values(name)
        processes = self.papa.list_processes()
        self.papa.remove_processes()
        for process in processes.values():
            if process['running']:
                # It may have ended since.
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process['pid'], 9)
        while self.papa.list_processes():
            pass
