"""Values, through papa's client."""

import unittest

import papa
from client import PapaTest


class Values(PapaTest):
    def test_a_value_is_none_until_it_is_set_and_after_it_is_cleared(self):
        self.assertIsNone(self.papa.get('a'))
        self.papa.set('a', 'one')
        self.assertEqual('one', self.papa.get('a'))
        self.papa.set('a', 'two')
        self.assertEqual('two', self.papa.get('a'))
        self.papa.set('a')
        self.assertIsNone(self.papa.get('a'))
        self.assertEqual({}, self.papa.list_values())

    def test_spaces_stay_and_newlines_become_spaces(self):
        for given, kept in (
            ('two words', 'two words'),
            ('a   b', 'a   b'),
            ('two\nlines', 'two lines'),
            ('key=value', 'key=value'),
            ('C:\\dir\\file', 'C:\\dir\\file'),
            ('"quoted"', '"quoted"'),
            ('gr\u00fc\u00dfe \u2713', 'gr\u00fc\u00dfe \u2713'),
        ):
            self.papa.set('a', given)
            self.assertEqual(kept, self.papa.get('a'))

    def test_a_large_value_comes_back_whole(self):
        large = '0123456789abcdef' * 65536
        self.papa.set('large', large)
        self.assertEqual(large, self.papa.get('large'))

    def test_values_are_listed_and_removed_by_wildcard(self):
        for name in ('a', 'a.1', 'a.2', 'b'):
            self.papa.set(name, 'value of ' + name)
        everything = {name: 'value of ' + name for name in ('a', 'a.1', 'a.2', 'b')}
        self.assertEqual(everything, self.papa.list_values())
        self.assertEqual(everything, self.papa.list_values('*'))
        self.assertEqual(['a.1', 'a.2', 'b'], sorted(self.papa.list_values('a.*', 'b')))
        self.assertEqual({}, self.papa.list_values('nothing', 'n*'))
        self.assertTrue(self.papa.remove_values('a.*', 'nothing'))
        self.assertEqual(['a', 'b'], sorted(self.papa.list_values()))

    def test_all_values_cannot_be_removed_at_once(self):
        self.papa.set('a', 'one')
        self.assertRaises(papa.Error, self.papa.remove_values)
        self.assertRaises(papa.Error, self.papa.remove_values, '*')
        self.assertEqual({'a': 'one'}, self.papa.list_values())

    def test_another_client_sees_them(self):
        self.papa.set('a', 'one')
        with papa.Papa() as other:
            self.assertEqual('one', other.get('a'))
            other.set('a', 'two')
        self.assertEqual('two', self.papa.get('a'))


if __name__ == '__main__':
    unittest.main()
