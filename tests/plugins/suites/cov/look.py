import json, xml.etree.ElementTree as ET
found = json.load(open("out/coverage.json"))
for file, entry in sorted(found["files"].items()):
    print(file, entry["executed_lines"], entry["missing_lines"], entry["missing_branches"])
print(ET.parse("out/coverage.xml").getroot().get("line-rate"))
