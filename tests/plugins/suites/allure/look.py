import glob, json
for found in sorted((json.load(open(path)) for path in glob.glob("out/allure/*-result.json")), key=lambda found: found["fullName"] + found["name"]):
    labels = sorted((label["name"], label["value"]) for label in found["labels"] if label["name"] in ("feature", "severity", "suite"))
    print(found["fullName"], found["name"], found["status"], labels, [step["name"] for step in found.get("steps", [])], len(found.get("attachments", [])))
print(sorted(json.load(open(path))["befores"][0]["name"] for path in glob.glob("out/allure/*-container.json") if json.load(open(path)).get("befores")))
