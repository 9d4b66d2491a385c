"""Watchers, through papa's client."""

import os
import select
import tempfile
import unittest

import papa
from client import PapaTest, gather, shell


class Watching(PapaTest):
    def setUp(self):
        super().setUp()
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.gate_path = os.path.join(directory.name, 'gate')
        os.mkfifo(self.gate_path)
        # Both ends, so that neither side waits for the other when it opens the pipe.
        self.gate = open(self.gate_path, 'r+b', buffering=0)
        self.addCleanup(self.gate.close)

    def in_two_parts(self):
        """A process that writes `one` and, once the gate is opened, `two`, and exits with 3."""
        return shell('echo one; read go < %s; echo two; exit 3' % self.gate_path)

    def open_gate(self):
        self.gate.write(b'\n')

    def test_a_watcher_reads_to_the_end_and_gives_its_connection_back(self):
        connection = self.papa.fileno()
        self.papa.make_process('p', **shell('echo out; echo err >&2; exit 3'))
        with self.papa.watch_processes('p') as watcher:
            self.assertTrue(watcher)
            self.assertEqual(1, len(watcher))
            self.assertEqual(connection, watcher.fileno())
            self.assertEqual(
                ({'p': b'out\n'}, {'p': b'err\n'}, {'p': 3}), gather(watcher)
            )
            self.assertFalse(watcher)
        self.assertEqual({'p': 3}, watcher.exit_code)
        self.assertEqual(connection, self.papa.fileno())
        self.assertEqual({}, self.papa.list_processes())

    def test_pieces_have_names_and_growing_times(self):
        self.papa.make_process('p', **self.in_two_parts())
        with self.papa.watch_processes('p') as watcher:
            first = watcher.read()[0][0]
            self.open_gate()
            second = watcher.read()[0][0]
        self.assertEqual(('p', b'one\n'), (first.name, first.data))
        self.assertEqual(('p', b'two\n'), (second.name, second.data))
        self.assertLess(first.timestamp, second.timestamp)

    def test_select_tells_when_there_is_something_to_read(self):
        self.papa.make_process('p', **self.in_two_parts())
        with self.papa.watch_processes('p') as watcher:
            self.assertEqual(([watcher], [], []), select.select([watcher], [], []))
            self.assertTrue(watcher.ready)
            out, err, closed = watcher.read()
            self.assertEqual(([b'one\n'], [], []), ([piece.data for piece in out], err, closed))
            watcher.acknowledge()
            self.assertEqual(([], [], []), select.select([watcher], [], [], 0))
            self.open_gate()
            self.assertEqual(([watcher], [], []), select.select([watcher], [], []))
            self.assertEqual({'p': b'two\n'}, gather(watcher)[0])

    def test_watch_immediately(self):
        with self.papa.make_process('p', watch_immediately=True, **shell('echo a')) as watcher:
            self.assertEqual(({'p': b'a\n'}, {}, {'p': 0}), gather(watcher))
        self.assertEqual({}, self.papa.list_processes())

    def test_watch_immediately_of_what_cannot_be_made(self):
        self.assertRaises(
            papa.Error, self.papa.make_process, 'p', '/no/such', watch_immediately=True
        )
        self.assertEqual({}, self.papa.list_processes())

    def test_watching_what_is_not_there_is_an_error(self):
        self.assertRaises(papa.Error, self.papa.watch_processes, 'p')
        self.assertRaises(papa.Error, self.papa.watch_processes)
        self.assertRaises(papa.Error, self.papa.watch_processes, 'p*')
        self.assertEqual({}, self.papa.list_processes())

    def test_many_processes_are_watched_by_wildcard(self):
        for number in range(5):
            self.papa.make_process('web.%d' % number, **shell('echo %d; exit %d' % (number, number)))
        self.papa.make_process('other', '/bin/sleep', '1000')
        with self.papa.watch_processes('web.*') as watcher:
            out, _, codes = gather(watcher)
        self.assertEqual({'web.%d' % n: b'%d\n' % n for n in range(5)}, out)
        self.assertEqual({'web.%d' % n: n for n in range(5)}, codes)
        self.assertEqual(['other'], list(self.papa.list_processes()))

    def test_watchers_of_two_processes_have_connections_of_their_own(self):
        connection = self.papa.fileno()
        self.papa.make_process('p', **shell('echo p'))
        self.papa.make_process('q', **shell('echo q'))
        first = self.papa.watch_processes('p')
        self.assertEqual(connection, first.fileno())
        second = self.papa.watch_processes('q')
        self.papa.set('a', 'one')
        self.assertEqual(3, len({first.fileno(), second.fileno(), self.papa.fileno()}))
        self.assertEqual({'q': b'q\n'}, gather(second)[0])
        self.assertEqual({'p': b'p\n'}, gather(first)[0])
        self.assertEqual('one', self.papa.get('a'))

    def test_two_watchers_of_one_process_both_see_everything(self):
        self.papa.make_process('p', **self.in_two_parts())
        first = self.papa.watch_processes('p')
        second = self.papa.watch_processes('p')
        self.assertEqual(b'one\n', first.read()[0][0].data)
        self.open_gate()
        self.assertEqual(({'p': b'two\n'}, {}, {'p': 3}), gather(first))
        # How much the second one is sent at a time depends on when papad turns to it.
        self.assertEqual(({'p': b'one\ntwo\n'}, {}, {'p': 3}), gather(second))

    def test_a_watcher_that_is_closed_has_acknowledged_what_it_read(self):
        self.papa.make_process('p', **self.in_two_parts())
        with self.papa.watch_processes('p') as watcher:
            self.assertEqual(b'one\n', watcher.read()[0][0].data)
        self.open_gate()
        with self.papa.watch_processes('p') as watcher:
            self.assertEqual({'p': b'two\n'}, gather(watcher)[0])

    def test_a_watcher_that_breaks_off_has_acknowledged_nothing(self):
        self.papa.make_process('p', **self.in_two_parts())
        watcher = self.papa.watch_processes('p')
        self.assertEqual(b'one\n', watcher.read()[0][0].data)
        watcher.connection.close()
        self.open_gate()
        with self.papa.watch_processes('p') as watcher:
            self.assertEqual({'p': b'one\ntwo\n'}, gather(watcher)[0])

    def test_an_end_that_was_not_acknowledged_is_seen_by_the_next(self):
        self.papa.make_process('p', **shell('exit 3'))
        watcher = self.papa.watch_processes('p')
        self.assertEqual(3, watcher.read()[2][0].data)
        watcher.connection.close()
        self.assertIs(False, self.papa.list_processes()['p']['running'])
        with self.papa.watch_processes('p') as watcher:
            self.assertEqual(({}, {}, {'p': 3}), gather(watcher))

    def test_a_small_buffer_keeps_the_last_writes(self):
        script = 'echo much too long; read go < %s; echo Args:; read go < %s; printf done >&2'
        script %= (self.gate_path, self.gate_path)
        self.papa.make_process('p', bufsize=14, **shell(script))
        # What papad takes at once is one piece, so each write waits until the one before is taken.
        for written in (b'much too long\n', b'Args:\n'):
            watcher = self.papa.watch_processes('p')
            self.assertEqual(written, watcher.read()[0][-1].data)
            watcher.connection.close()
            self.open_gate()
        while self.papa.list_processes()['p']['running']:
            pass
        with self.papa.watch_processes('p') as watcher:
            self.assertEqual(({'p': b'Args:\n'}, {'p': b'done'}, {'p': 0}), gather(watcher))

    def test_a_megabyte(self):
        self.papa.make_process('p', '/usr/bin/seq', ['1000000', '1131071'], bufsize='2m')
        with self.papa.watch_processes('p') as watcher:
            out = gather(watcher)[0]['p']
        self.assertEqual(list(range(1000000, 1131072)), [int(line) for line in out.split()])

    def test_a_signal_is_a_negative_code(self):
        made = self.papa.make_process('p', '/bin/sleep', '1000')
        with self.papa.watch_processes('p') as watcher:
            os.kill(made['pid'], 15)
            self.assertEqual({'p': -15}, gather(watcher)[2])


if __name__ == '__main__':
    unittest.main()
