import subprocess
import sys


def count():
    return int(subprocess.run([sys.executable, "-c", "print(3)"], capture_output=True, check=True).stdout)
