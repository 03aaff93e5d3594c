import json
found = json.load(open("out/report.json"))
print(sorted(found["summary"].items()), found["by"], found["exitcode"], len(found.get("warnings", [])))
for test in sorted(found["tests"], key=lambda test: test["nodeid"]):
    print(test["nodeid"], test["outcome"], test.get("metadata"), sorted(key for key in test if key in ("setup", "call", "teardown")))
