import json
for found in sorted(json.load(open("bench.json"))["benchmarks"], key=lambda found: found["fullname"]):
    print(found["fullname"], found["group"], found["params"], found["extra_info"], found["stats"]["rounds"] >= 3)
