"""Processes, through papa's client."""

import os
import pwd
import sys
import unittest

import papa
from client import PapaTest, gather, needs_root, shell


class Processes(PapaTest):
    def run_to_end(self, **parameters):
        """Makes the process `p` and returns what it wrote to stdout."""
        self.papa.make_process('p', **parameters)
        with self.papa.watch_processes('p') as watcher:
            out, _, _ = gather(watcher)
        return out.get('p', b'').decode()

    def test_the_reply_describes_the_process(self):
        made = self.papa.make_process('p', '/bin/sleep', '1000')
        self.assertEqual({'pid', 'running', 'started', 'args'}, set(made))
        self.assertIsInstance(made['pid'], int)
        self.assertIs(made['running'], True)
        self.assertIsInstance(made['started'], float)
        self.assertEqual('/bin/sleep 1000', made['args'])
        self.assertEqual({'p': made}, self.papa.list_processes())
        os.kill(made['pid'], 0)

    def test_arguments_may_be_a_list_a_word_or_a_number(self):
        self.assertEqual('a  b c\n', self.run_to_end(executable='/bin/echo', args=['a  b', 'c']))
        self.assertEqual('a b\n', self.run_to_end(executable='/bin/echo', args='a b'))
        self.assertEqual('17\n', self.run_to_end(executable='/bin/echo', args=17))
        self.assertEqual('a\n', self.run_to_end(args=['/bin/echo', 'a']))
        self.assertEqual('', self.run_to_end(executable='/bin/true'))

    def test_a_script_of_many_lines_becomes_one(self):
        self.assertEqual('a\nb\n', self.run_to_end(**shell('echo a;\necho b;\n')))

    def test_the_environment(self):
        given = {'A': 'one two', 'PATH': '/bin', 'WIN': 'C:\\dir\\', 'EQ': 'a=b'}
        out = self.run_to_end(executable='/usr/bin/env', env=given)
        self.assertEqual(given, dict(line.split('=', 1) for line in out.splitlines()))
        self.assertEqual('', self.run_to_end(executable='/usr/bin/env'))
        # The client cannot send an empty value.
        mine = {key: value for key, value in os.environ.items() if value}
        out = self.run_to_end(executable=sys.executable, args=['-c', 'print("hello")'], env=mine)
        self.assertEqual('hello\n', out)

    def test_the_working_directory(self):
        here = os.path.realpath(os.path.dirname(__file__))
        out = self.run_to_end(executable='/bin/pwd', working_dir=here)
        self.assertEqual(here + '\n', out)
        out = self.run_to_end(executable='/bin/ls', args='processes.py', working_dir=here)
        self.assertEqual('processes.py\n', out)

    @needs_root
    def test_user_and_group_by_name_and_by_number(self):
        nobody = pwd.getpwnam('nobody')
        for uid in ('nobody', nobody.pw_uid):
            out = self.run_to_end(uid=uid, **shell('id -u; id -g'))
            self.assertEqual('%d\n%d\n' % (nobody.pw_uid, nobody.pw_gid), out)
        for gid in ('daemon', pwd.getpwnam('daemon').pw_gid):
            out = self.run_to_end(uid='nobody', gid=gid, **shell('id -u; id -g'))
            self.assertEqual(
                '%d\n%d\n' % (nobody.pw_uid, pwd.getpwnam('daemon').pw_gid), out
            )

    def test_limits(self):
        out = self.run_to_end(
            rlimits={'NOFILE': 70, 'core': 0}, **shell('ulimit -Sn; ulimit -Hn; ulimit -c')
        )
        self.assertEqual('70\n70\n0\n', out)

    def test_streams(self):
        both = shell('echo out; echo err >&2')
        for parameters, expected in (
            ({}, ({'p': b'out\n'}, {'p': b'err\n'})),
            ({'stdout': papa.PIPE, 'stderr': papa.PIPE}, ({'p': b'out\n'}, {'p': b'err\n'})),
            ({'stdout': papa.DEVNULL}, ({}, {'p': b'err\n'})),
            ({'stderr': papa.DEVNULL}, ({'p': b'out\n'}, {})),
            ({'stderr': papa.STDOUT}, ({'p': b'out\nerr\n'}, {})),
            ({'bufsize': 0}, ({}, {})),
        ):
            self.papa.make_process('p', **parameters, **both)
            with self.papa.watch_processes('p') as watcher:
                out, err, codes = gather(watcher)
            self.assertEqual(expected, (out, err), parameters)
            self.assertEqual({'p': 0}, codes)

    def test_the_same_name_is_the_same_process_or_an_error(self):
        made = self.papa.make_process('p', '/bin/sleep', '1000')
        self.assertEqual(made, self.papa.make_process('p', '/bin/sleep', '1000'))
        self.assertEqual(made, self.papa.make_process('p', None, ['/bin/sleep', '1000']))
        with self.assertRaisesRegex(papa.Error, 'Process for p has already been created - p pid='):
            self.papa.make_process('p', '/bin/sleep', '1001')

    def test_processes_are_listed_by_wildcard(self):
        for name in ('web.1', 'web.2', 'other'):
            self.papa.make_process(name, '/bin/sleep', '1000')
        self.assertEqual(['other', 'web.1', 'web.2'], sorted(self.papa.list_processes()))
        self.assertEqual(['web.1', 'web.2'], sorted(self.papa.list_processes('web.*')))
        self.assertEqual(['other', 'web.2'], sorted(self.papa.list_processes('web.2', 'other')))
        self.assertEqual({}, self.papa.list_processes('nothing'))

    def test_a_removed_process_leaves_the_list_when_it_ends(self):
        made = self.papa.make_process('p', '/bin/sleep', '1000')
        self.assertTrue(self.papa.remove_processes('p'))
        self.assertEqual({'p': made}, self.papa.list_processes())
        os.kill(made['pid'], 15)
        while self.papa.list_processes():
            pass
        self.assertRaises(papa.Error, self.papa.remove_processes, 'p')

    def test_what_cannot_be_made_is_an_error_and_leaves_nothing(self):
        for parameters in (
            {},
            {'executable': '/no/such/program'},
            {'executable': 'no-such-program'},
            {'executable': '/bin/true', 'working_dir': '/no/such'},
            {'executable': '/bin/true', 'uid': 'no-such-user'},
            {'executable': '/bin/true', 'gid': 'no-such-group'},
            {'executable': '/bin/true', 'rlimits': {'nothing': 1}},
            {'executable': '/bin/true', 'bufsize': 'large'},
            {'executable': '/bin/true', 'args': '$(socket.nothing.port)'},
        ):
            self.assertRaises(papa.Error, self.papa.make_process, 'p', **parameters)
        self.assertEqual({}, self.papa.list_processes())


if __name__ == '__main__':
    unittest.main()
