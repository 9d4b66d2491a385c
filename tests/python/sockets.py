"""Sockets, through papa's client."""

import os
import socket
import stat
import sys
import tempfile
import unittest

import papa
from client import PapaTest, gather

SERVER = os.path.join(os.path.dirname(os.path.realpath(__file__)), 'tell_pid.py')


def connect(port):
    with socket.create_connection(('127.0.0.1', port)):
        pass


def who_answers(port):
    with socket.create_connection(('127.0.0.1', port)) as client:
        return int(client.makefile().read())


class Sockets(PapaTest):
    def test_defaults(self):
        made = self.papa.make_socket('web')
        self.assertIsInstance(made['port'], int)
        self.assertIsInstance(made['fileno'], int)
        self.assertEqual(
            {
                'family': 'inet',
                'type': 'stream',
                'backlog': 5,
                'host': '127.0.0.1',
                'port': made['port'],
                'fileno': made['fileno'],
            },
            made,
        )
        self.assertEqual({'web': made}, self.papa.list_sockets())
        connect(made['port'])

    def test_every_parameter_of_an_inet_socket(self):
        with socket.create_server(('127.0.0.1', 0)) as free:
            port = free.getsockname()[1]
        made = self.papa.make_socket(
            'web', '127.0.0.1', port, socket.AF_INET, socket.SOCK_STREAM, 9
        )
        self.assertEqual(('127.0.0.1', port, 9), (made['host'], made['port'], made['backlog']))
        connect(port)

    @unittest.skipUnless(socket.has_dualstack_ipv6(), 'needs IPv6')
    def test_inet6(self):
        made = self.papa.make_socket('web', family=socket.AF_INET6)
        self.assertEqual(('inet6', '::1'), (made['family'], made['host']))
        with socket.create_connection(('::1', made['port'])):
            pass

    def test_a_host_name(self):
        made = self.papa.make_socket('web', host='localhost')
        self.assertEqual('localhost', made['host'])
        connect(made['port'])

    def test_an_interface(self):
        made = self.papa.make_socket('web', interface='lo')
        self.assertEqual(('lo', '0.0.0.0'), (made['interface'], made['host']))
        connect(made['port'])
        self.papa.remove_sockets('web')
        again = self.papa.make_socket('web', interface='lo', port=made['port'])
        self.assertEqual(made['port'], again['port'])

    def test_datagrams(self):
        made = self.papa.make_socket('log', socket_type=socket.SOCK_DGRAM)
        self.assertEqual('dgram', made['type'])

    def test_a_path(self):
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, 'web.sock')
            made = self.papa.make_socket('web', path=path, umask=0o77)
            self.assertEqual(
                {
                    'family': 'unix',
                    'type': 'stream',
                    'backlog': 5,
                    'path': path,
                    'umask': '63',
                    'fileno': made['fileno'],
                },
                made,
            )
            self.assertEqual(0o700, stat.S_IMODE(os.stat(path).st_mode))
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(path)
            self.papa.remove_sockets('web')
            self.assertFalse(os.path.exists(path))

    def test_a_path_is_absolute(self):
        self.assertRaises(papa.Error, self.papa.make_socket, 'web', path='web.sock')
        self.assertRaises(papa.Error, self.papa.make_socket, 'web', family=socket.AF_UNIX)
        self.assertEqual({}, self.papa.list_sockets())

    def test_the_same_name_is_the_same_socket_or_an_error(self):
        made = self.papa.make_socket('web')
        self.assertEqual(made, self.papa.make_socket('web'))
        with self.assertRaisesRegex(papa.Error, 'Socket for web has already been created - web '):
            self.papa.make_socket('web', backlog=6)

    def test_sockets_are_listed_and_removed_by_wildcard(self):
        for name in ('web.1', 'web.2', 'other'):
            self.papa.make_socket(name)
        self.assertEqual(['web.1', 'web.2'], sorted(self.papa.list_sockets('web.*')))
        self.assertEqual(['other', 'web.2'], sorted(self.papa.list_sockets('web.2', 'other')))
        self.assertEqual({}, self.papa.list_sockets('nothing'))
        self.assertRaises(papa.Error, self.papa.remove_sockets, 'nothing')
        self.assertTrue(self.papa.remove_sockets('web.*'))
        self.assertEqual(['other'], list(self.papa.list_sockets()))

    def serve(self, name, fileno):
        """Starts a process that tells each of its clients its own pid."""
        return self.papa.make_process(name, sys.executable, [SERVER, fileno])['pid']

    def test_a_process_accepts_from_the_socket_it_is_given(self):
        made = self.papa.make_socket('web.1')
        pid = self.serve('p', '$(socket.web.1.fileno)')
        self.assertEqual(pid, who_answers(made['port']))

    def test_a_process_is_told_the_port(self):
        made = self.papa.make_socket('web')
        port = 'port=$(socket.web.port)'
        self.papa.make_process('p', '/bin/echo', port)
        with self.papa.watch_processes('p') as watcher:
            out, _, _ = gather(watcher)
        self.assertEqual({'p': b'port=%d\n' % made['port']}, out)

    def test_reuseport_gives_every_process_a_socket_of_its_own(self):
        made = self.papa.make_socket('web', reuseport=True)
        self.assertEqual('1', made['reuseport'])
        self.assertNotIn('fileno', made)
        pids = {self.serve(name, '$(socket.web.fileno)') for name in ('p', 'q')}
        seen = set()
        # The kernel deals connections out by a hash of their addresses.
        while seen != pids:
            seen.add(who_answers(made['port']))
        os.kill(pids.pop(), 9)
        with self.papa.watch_processes('*') as watcher:
            watcher.read()
        self.assertIn(who_answers(made['port']), pids)


if __name__ == '__main__':
    unittest.main()
