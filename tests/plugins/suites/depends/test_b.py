def test_b():
    open('b.txt', 'w').write('b')
