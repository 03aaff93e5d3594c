import glob
for path in glob.glob('out/*'):
    print(path)
    lines = [line.split(' - ')[-1] for line in open(path) if line.startswith(('ok', 'not ok'))]
    print(sorted(lines))
