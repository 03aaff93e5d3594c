import pytest


class TestSome:
    '''Some tests.'''

    def test_b(self):
        '''It does b.'''

    @pytest.mark.skip(reason="not now")
    def test_skipped(self): pass

    @pytest.mark.xfail
    def test_known(self): assert 0

    @pytest.mark.xfail
    def test_unknown(self): pass
