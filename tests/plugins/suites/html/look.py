import html, json, re
text = open("out/report.html").read()
data = json.loads(html.unescape(re.search(r'data-jsonblob="([^"]*)"', text).group(1)))
for id, entries in sorted(data["tests"].items()):
    for entry in entries:
        print(id, entry["result"], [extra["content"][:20] for extra in entry.get("extras", [])])
print(re.search("<title[^>]*>(.*?)</title>", text, re.S).group(1).strip(), "said by the conftest" in text)
print(re.search(r"(\d+) tests? (ran|took)", text).group(1))
