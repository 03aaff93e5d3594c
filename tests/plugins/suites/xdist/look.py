print(open('made.txt').read())
