import json
lines = [json.loads(line) for line in open("out/log.jsonl")]
tests = [line for line in lines if line.get("$report_type") == "TestReport"]
for line in sorted(tests, key=lambda line: (line["nodeid"], line["when"])):
    print(line["nodeid"], line["when"], line["outcome"], line["user_properties"], [name for name, _ in line["sections"]])
print(sum(line.get("$report_type") == "WarningMessage" for line in lines))
print([line for line in lines if line.get("$report_type") == "SessionFinish"])
