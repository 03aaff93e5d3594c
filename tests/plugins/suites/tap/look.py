import glob
import re

for path in glob.glob("out/*"):
    print(path)
    lines = [re.sub(r"^((not )?ok) \d+ ", r"\1 ", line) for line in open(path) if line.startswith(("ok", "not ok"))]
    print(sorted(lines))
