"""Copies the files that the inputs name into the folder of an artifact, with the names that the original gives them."""

import os
import shutil
import sys
from pathlib import Path

here = Path()
places = [place for pattern in os.environ["PATHS"].split() for place in here.glob(os.path.normpath(pattern))]
tops = [(place if place.is_dir() else place.parent).resolve() for place in places]
files = [file for place in places for file in ([place] if place.is_file() else place.rglob("*")) if file.is_file()]
if os.environ["HIDDEN"] != "true":
    files = [file for file in files if not any(part.startswith(".") and part != "." for part in file.parts)]
if files:
    target = Path(os.environ["DT_E2E_ARTIFACTS"], os.environ["NAME"])
    if target.exists() and os.environ["OVERWRITE"] != "true":
        sys.exit(f"the artifact {target.name} is there already")
    shutil.rmtree(target, ignore_errors=True)
    for file in files:
        copy = target / os.path.relpath(file.resolve(), os.path.commonpath(tops))
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, copy)
