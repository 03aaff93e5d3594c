import json
print(sorted(json.load(open('durations.json'))))
