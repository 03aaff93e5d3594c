// The panel of one test: its attempts with coloured traces and logs, and how to run it again.
let details = null;
const SHADES = ["black", "red", "green", "yellow", "blue", "magenta", "cyan", "white"];

async function showPanel(row) {
  const panel = $("panel"), asked = state.test;
  panel.hidden = false;
  $("explorer").classList.add("narrowed");
  panel.replaceChildren(...panelHead(row));
  if (data.detailed.has(row)) {
    details = details || await unpack("details");
    if (state.test === asked) panel.append(...details[row].flatMap((attempt, n, all) => attemptParts(attempt, n, all.length)));
  } else if (messageOf(row)) panel.append(make("pre", "trace", messageOf(row)));
  if (state.test !== asked) return;
  showEnds(panel);
  if (data.left[row]) panel.append(leftFiles(data.left[row]));
  const again = make("pre", "again", reproduce(fromStart(idOf(row))));
  panel.append(again);
  addCopyButtons(panel);
}
function leftFiles(files) {
  const line = make("p", "about", "left: ");
  files.forEach(([name, address, size], n) => {
    const link = make("a", "", name);
    link.href = address;
    line.append(...(n ? [", "] : []), link, " (" + size + ")");
  });
  return line;
}
// A test as it is named where dt was started, which need not be pytest's root.
function fromStart(id) {
  const [fro, back] = data.paths;
  if (fro && id.startsWith(fro + "/")) return id.slice(fro.length + 1);
  return back ? back + "/" + id : id;
}
function hidePanel() {
  $("panel").hidden = true;
  $("explorer").classList.remove("narrowed");
  state.test = "";
  remember();
}
function panelHead(row) {
  const close = make("button", "close", "×"), outcome = data.outcomes[data.outcome[row]];
  close.type = "button";
  close.title = "Close (Esc)";
  close.addEventListener("click", hidePanel);
  const about = [
    fileOf(row) + (data.line[row] ? ":" + data.line[row] : ""), seconds(data.duration[row]),
    data.names.worker[data.worker[row]], data.names.slot[data.slot[row]], data.names.type[data.type[row]],
    data.needs[row] ? "needs " + data.names.needs[data.needs[row]] : "",
  ];
  const line = make("p", "about", about.filter(Boolean).join(" · "));
  line.prepend(make("span", "badge o-" + outcome, outcome), ...standing(row), " ");
  const why = row in data.known ? [make("p", "about", "does not count: " + data.known[row])] : [];
  return [close, make("h3", "", idOf(row)), line, ...why];
}
function attemptParts(attempt, n, count) {
  const parts = [], detail = attempt.detail || "", message = attempt.message || "";
  if (count > 1) parts.push(make("p", "about", "attempt " + (n + 1) + ": " + attempt.outcome + " after " + seconds(attempt.ms) + (attempt.worker ? " on " + attempt.worker : "")));
  const bare = (text) => text.replace(/(?:\x1b|#x1B)\[[0-9;]*m/g, "").replace(/\s+/g, " ").trim();
  const told = bare(detail).includes(bare(message)) ? detail : (message + "\n" + detail).trim();
  if (told) parts.push(colored("trace", told));
  for (const stream of ["stdout", "stderr"]) {
    if (!attempt[stream]) continue;
    const fold = make("details");
    fold.append(make("summary", "", stream), colored("log", attempt[stream]));
    parts.push(fold);
  }
  return parts;
}

// Terminal colours become classes; every other escape sequence and control character is dropped.
function colored(className, text) {
  const element = make("pre", className);
  let classes = new Set();
  if (!/\x1b|#x1B/.test(text)) text = text.replace(/^E .*/gm, "\x1b[31m$&\x1b[0m");
  for (const piece of text.split(/(\x1b\[[0-9;]*m|#x1B\[[0-9;]*m)/)) {
    const sgr = /^(?:\x1b|#x1B)\[([0-9;]*)m$/.exec(piece);
    if (sgr) classes = afterSgr(classes, sgr[1].split(";").map(Number));
    else {
      const shown = piece.replace(/\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*\x07?|.)?/g, "").replace(/[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g, "");
      if (shown) element.append(classes.size ? make("span", [...classes].join(" "), shown) : shown);
    }
  }
  return element;
}
function afterSgr(classes, codes) {
  const next = new Set(classes), uncolor = () => { for (const name of next) if (name !== "a-bold") next.delete(name); };
  while (codes.length) {
    const code = codes.shift();
    if (code === 0) next.clear();
    else if (code === 1) next.add("a-bold");
    else if (code === 2 || code === 22) next.delete("a-bold");
    else if (code === 38 || code === 48) codes.splice(0, codes[0] === 2 ? 4 : 2);
    else if ((code >= 30 && code <= 37) || (code >= 90 && code <= 97)) { uncolor(); next.add("a-" + SHADES[code % 10]); }
    else if (code === 39) uncolor();
  }
  return next;
}

// A long trace shows its end, where the error is.
function showEnds(root) {
  for (const element of root.querySelectorAll(".trace")) element.scrollTop = element.scrollHeight;
}
const reproduce = (id) => "python -m pytest '" + id.replaceAll("'", "'\"'\"'").replaceAll("\n", "'$'\\n''") + "'";
function addCopyButtons(root) {
  if (!navigator.clipboard) return;
  for (const element of root.querySelectorAll(".again")) {
    if (element.dataset.text) continue;
    element.dataset.text = element.textContent;
    const button = make("button", "copy", "copy");
    button.type = "button";
    element.append(button);
  }
}
