import re
for line in sorted(open('out.md').read().splitlines()):
    print(line)
