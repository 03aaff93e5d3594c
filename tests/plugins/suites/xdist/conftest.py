import json
import pytest
from filelock import FileLock


@pytest.fixture(scope="session")
def once(tmp_path_factory, worker_id):
    path = tmp_path_factory.getbasetemp().parent / "once.json"
    with FileLock(str(path) + ".lock"):
        if path.exists():
            return json.loads(path.read_text())
        path.write_text(json.dumps({"made": worker_id}))
        open("made.txt", "a").write("once\n")
        return {"made": worker_id}
