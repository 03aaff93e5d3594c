import glob
for path in sorted(glob.glob("*.txt")):
    print(path, open(path).read())
