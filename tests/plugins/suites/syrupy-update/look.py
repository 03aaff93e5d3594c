import glob
for path in sorted(glob.glob("__snapshots__/*")):
    print(path)
    print(open(path).read())
