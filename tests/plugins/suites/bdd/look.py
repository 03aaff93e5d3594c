import json
for feature in json.load(open("out.json")):
    for element in sorted(feature["elements"], key=lambda element: element["name"]):
        print(feature["name"], element["name"], [(step["name"], step["result"]["status"]) for step in element["steps"]])
