import xml.etree.ElementTree as ET
root = ET.parse("junit.xml").getroot()
suite = root[0]
print({key: suite.get(key) for key in ("tests", "failures", "errors", "skipped")})
for case in sorted(suite.iter("testcase"), key=lambda case: case.get("name")):
    print(case.get("classname"), case.get("name"), [child.tag for child in case], [(p.get("name"), p.get("value")) for p in case.iter("property")])
for found in suite.findall("properties/property"):
    if found.get("name") in ("build", "by"):
        print(found.get("name"), found.get("value"))
