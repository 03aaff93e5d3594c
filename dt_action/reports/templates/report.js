"use strict";
// The list of all tests: unpacking, filter, sort, groups, keyboard, and the state in the address.
const ROW = 30, SPARE = 8;
const $ = (id) => document.getElementById(id);
const make = (tag, className, text) => {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
};
const COLUMNS = [["outcome", "Outcome"], ["name", "Test"], ["type", "Type"], ["worker", "Worker"], ["duration", "Time"]];
const state = { query: "", hidden: new Set(), group: "", sort: "outcome", down: false, test: "", longer: 0, until: Infinity };
const opened = new Set();
let data, rows, words, ranks = {}, view = [], groups = [], selected = -1;

async function unpack(id) {
  const packed = atob($(id).textContent), bytes = new Uint8Array(packed.length);
  for (let n = 0; n < bytes.length; n++) bytes[n] = packed.charCodeAt(n);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).json();
}

const fileOf = (row) => data.names.file[data.file[row]];
const idOf = (row) => {
  const file = fileOf(row), name = data.name[row];
  return name === file ? name : file + "::" + name;
};
const messageOf = (row) => data.names.message[data.message[row]];
const seconds = (ms) => ms < 1000 ? ms + " ms" : ms < 120000 ? (ms / 1000).toFixed(1) + " s" : Math.floor(ms / 60000) + " min " + String(Math.round(ms / 1000) % 60).padStart(2, "0") + " s";
const failing = (row) => data.failing[data.outcome[row]] && !(row in data.known);

function haystack() {
  if (!words) {
    words = new Array(rows);
    const files = data.names.file.map((file) => file.toLowerCase()), messages = data.names.message.map((text) => text.toLowerCase());
    for (let row = 0; row < rows; row++) words[row] = files[data.file[row]] + "::" + data.name[row].toLowerCase() + "\n" + messages[data.message[row]];
  }
  return words;
}

// The place of each row in the order of a column: worked out once, so that a later sort only compares numbers.
function rankBy(column) {
  if (ranks[column]) return ranks[column];
  const rank = new Uint32Array(rows);
  if (column === "outcome") {
    for (let row = 0; row < rows; row++) rank[row] = data.severity[data.outcome[row]];
    rank.size = data.order.length;
  } else if (column === "name" || column === "duration") {
    const places = placesOf(data.names.file), order = Uint32Array.from(rank, (_, row) => row);
    if (column === "duration") order.sort((a, b) => data.duration[a] - data.duration[b]);
    else order.sort((a, b) => places[data.file[a]] - places[data.file[b]] || (data.name[a] < data.name[b] ? -1 : 1));
    order.forEach((row, place) => { rank[row] = place; });
    rank.size = rows;
  } else {
    const places = placesOf(data.names[column]);
    for (let row = 0; row < rows; row++) rank[row] = places[data[column][row]];
    rank.size = places.length;
  }
  return ranks[column] = rank;
}
function placesOf(values) {
  const places = new Uint32Array(values.length);
  values.map((_, place) => place).sort((a, b) => values[a] < values[b] ? -1 : 1).forEach((value, place) => { places[value] = place; });
  return places;
}

function matching() {
  const query = state.query.toLowerCase().split(" ").filter(Boolean), texts = query.length ? haystack() : null;
  const shown = data.outcomes.map((name) => !state.hidden.has(name)), found = new Uint32Array(rows);
  let count = 0;
  for (let row = 0; row < rows; row++) {
    if (!shown[data.outcome[row]] || data.duration[row] < state.longer || data.duration[row] >= state.until) continue;
    if (texts && !query.every((word) => texts[row].includes(word))) continue;
    found[count++] = row;
  }
  const kept = found.subarray(0, count);
  return state.sort ? sorted(kept, rankBy(state.sort), state.down) : kept;
}
// Sorts by counting: as fast for 100,000 rows as reading them. Ranks are whole numbers below `rank.size`.
function sorted(kept, rank, down) {
  const starts = new Uint32Array(rank.size + 1), order = new Uint32Array(kept.length);
  for (const row of kept) starts[(down ? rank.size - 1 - rank[row] : rank[row]) + 1]++;
  for (let n = 1; n < starts.length; n++) starts[n] += starts[n - 1];
  for (const row of kept) order[starts[down ? rank.size - 1 - rank[row] : rank[row]]++] = row;
  return order;
}

const groupName = (value) => data.names[state.group][value] || (state.group === "needs" ? "any machine" : "none");
// Rows of the list are numbers: a test's row, or -1 - n for the head of group n.
function arrange() {
  const found = matching();
  groups = [];
  if (!state.group) view = found;
  else {
    const byValue = new Map();
    for (const row of found) {
      const value = data[state.group][row];
      let group = byValue.get(value);
      if (!group) byValue.set(value, group = { name: groupName(value), rows: [], ms: 0, bad: 0 });
      group.rows.push(row); group.ms += data.duration[row]; group.bad += failing(row);
    }
    groups = [...byValue.values()].sort((a, b) => b.bad - a.bad || (a.name < b.name ? -1 : 1));
    view = [];
    groups.forEach((group, n) => {
      view.push(-1 - n);
      if (opened.has(group.name)) for (const row of group.rows) view.push(row);
    });
  }
  $("count").textContent = found.length === rows ? rows.toLocaleString("en") : found.length.toLocaleString("en") + " of " + rows.toLocaleString("en");
  $("space").style.height = view.length * ROW + "px";
  paint();
}

function paint() {
  const list = $("list"), first = Math.max(Math.floor(list.scrollTop / ROW) - SPARE, 0);
  const last = Math.min(first + Math.ceil(list.clientHeight / ROW) + 2 * SPARE, view.length);
  const fragment = document.createDocumentFragment();
  for (let place = first; place < last; place++) fragment.append(view[place] < 0 ? headRow(place) : testRow(place));
  $("space").replaceChildren(fragment);
}
function rowAt(place, className) {
  const element = make("div", "row " + className);
  element.style.top = place * ROW + "px";
  element.dataset.place = place;
  element.id = "r" + place;
  element.setAttribute("role", "option");
  element.setAttribute("aria-selected", String(place === selected));
  return element;
}
function standing(row) {
  if (row in data.known) return [" ", make("span", "badge o-skipped", "known")];
  return data.fresh.has(row) ? [" ", make("span", "badge o-new", "new")] : [];
}
function testRow(place) {
  const row = view[place], outcome = data.outcomes[data.outcome[row]], element = rowAt(place, "o-" + outcome);
  const name = make("span", "name"), time = make("span", "time", seconds(data.duration[row]));
  if (state.group !== "file" && data.name[row] !== fileOf(row)) name.append(make("i", "", fileOf(row) + "::"));
  name.append(make("b", "", data.name[row]), ...standing(row));
  name.title = idOf(row);
  time.style.setProperty("--share", 100 * data.duration[row] / data.longest + "%");
  element.append(make("span", "outcome", outcome), name, make("span", "small", data.names.type[data.type[row]]), make("span", "small", data.names.worker[data.worker[row]]), time);
  return element;
}
function headRow(place) {
  const group = groups[-1 - view[place]], element = rowAt(place, "head"), isOpen = opened.has(group.name);
  const title = make("span", "name");
  title.append(make("b", "", group.name));
  element.setAttribute("aria-expanded", String(isOpen));
  element.append(make("span", "bad", group.bad ? group.bad + " failing" : ""), title, make("span", "small", group.rows.length.toLocaleString("en") + (group.rows.length === 1 ? " test" : " tests")), make("span"), make("span", "time", seconds(group.ms)));
  return element;
}

function activate(place) {
  if (place < 0 || place >= view.length) return;
  selected = place;
  if (view[place] < 0) {
    const { name } = groups[-1 - view[place]];
    opened.has(name) ? opened.delete(name) : opened.add(name);
    arrange();
  } else {
    state.test = idOf(view[place]);
    paint();
    showPanel(view[place]);
  }
  remember();
}
function move(step) {
  selected = Math.min(Math.max(selected + step, 0), view.length - 1);
  const list = $("list"), top = selected * ROW;
  if (top < list.scrollTop) list.scrollTop = top;
  if (top + ROW > list.scrollTop + list.clientHeight) list.scrollTop = top + ROW - list.clientHeight;
  list.setAttribute("aria-activedescendant", "r" + selected);
  paint();
  if (view[selected] >= 0 && !$("panel").hidden) activate(selected);
}

// The address says what is shown, so that it can be sent to a colleague.
function remember() {
  const parts = new URLSearchParams();
  if (state.query) parts.set("q", state.query);
  if (state.hidden.size) parts.set("hide", [...state.hidden].join(" "));
  if (state.group) parts.set("group", state.group);
  if (state.sort !== "outcome" || state.down) parts.set("sort", state.sort ? (state.down ? "-" : "") + state.sort : "none");
  if (state.longer) parts.set("longer", state.longer);
  if (state.until !== Infinity) parts.set("until", state.until);
  if (state.test) parts.set("test", state.test);
  history.replaceState(null, "", "#" + parts);
}
function recall() {
  const parts = new URLSearchParams(location.hash.slice(1)), sort = parts.get("sort") || "outcome";
  state.query = parts.get("q") || "";
  state.hidden = new Set((parts.get("hide") || "").split(" ").filter((name) => data.outcomes.includes(name)));
  state.group = ["file", "worker", "needs", "type"].includes(parts.get("group")) ? parts.get("group") : "";
  state.down = sort.startsWith("-");
  state.sort = COLUMNS.some(([key]) => key === sort.replace("-", "")) ? sort.replace("-", "") : "";
  state.longer = Number(parts.get("longer")) || 0;
  state.until = Number(parts.get("until")) || Infinity;
  state.test = parts.get("test") || "";
  $("search").value = state.query;
  $("group").value = state.group;
  controls();
  if (state.test && state.group) {
    const row = data.name.findIndex((_, one) => idOf(one) === state.test);
    if (row >= 0) opened.add(groupName(data[state.group][row]));
  }
  arrange();
  if (state.test) {
    const place = view.findIndex((row) => row >= 0 && idOf(row) === state.test);
    if (place >= 0) { selected = place; $("list").scrollTop = Math.max(place - 5, 0) * ROW; activate(place); }
  }
}

function controls() {
  const counts = new Array(data.outcomes.length).fill(0);
  for (const outcome of data.outcome) counts[outcome]++;
  $("outcomes").replaceChildren(...data.outcomes.flatMap((name, n) => {
    if (!counts[n]) return [];
    const chip = make("button", "chip o-" + name, counts[n].toLocaleString("en") + " " + name);
    chip.type = "button";
    chip.dataset.outcome = name;
    chip.setAttribute("aria-pressed", String(!state.hidden.has(name)));
    return [chip];
  }));
  if (state.longer || state.until !== Infinity) {
    const chip = make("button", "chip", seconds(state.longer) + " to " + (state.until === Infinity ? "any" : seconds(state.until)) + "  ×");
    chip.type = "button";
    chip.dataset.reset = "1";
    $("outcomes").append(chip);
  }
  $("columns").replaceChildren(...COLUMNS.map(([key, title]) => {
    const button = make("button", "", title);
    button.type = "button";
    button.dataset.column = key;
    if (state.sort === key) button.setAttribute("aria-sort", state.down ? "descending" : "ascending");
    return button;
  }));
}
function changed() {
  selected = -1;
  $("list").scrollTop = 0;
  controls(); arrange(); remember();
}
function limitDuration(from, to) {
  Object.assign(state, { longer: from, until: to });
  changed();
  $("explorer").scrollIntoView({ behavior: "smooth" });
}

function listen() {
  $("search").addEventListener("input", (event) => { state.query = event.target.value; changed(); });
  $("group").addEventListener("change", (event) => { state.group = event.target.value; changed(); });
  $("outcomes").addEventListener("click", (event) => {
    const chip = event.target.closest("button");
    if (!chip) return;
    if (chip.dataset.reset) return limitDuration(0, Infinity);
    const name = chip.dataset.outcome;
    if (event.shiftKey || event.detail > 1) state.hidden = new Set(data.outcomes.filter((other) => other !== name));
    else state.hidden.has(name) ? state.hidden.delete(name) : state.hidden.add(name);
    changed();
  });
  $("columns").addEventListener("click", (event) => {
    const key = event.target.dataset.column;
    if (!key) return;
    const firstDown = key === "duration";
    if (state.sort !== key) Object.assign(state, { sort: key, down: firstDown });
    else if (state.down === firstDown) state.down = !firstDown;
    else Object.assign(state, { sort: "", down: false });
    changed();
  });
  $("list").addEventListener("scroll", () => requestAnimationFrame(paint), { passive: true });
  $("list").addEventListener("click", (event) => {
    const row = event.target.closest(".row");
    if (row) activate(Number(row.dataset.place));
  });
  document.addEventListener("keydown", keys);
  addEventListener("hashchange", recall);
  addEventListener("resize", () => { paint(); drawPictures(); });
  $("theme").addEventListener("click", () => {
    const isDark = getComputedStyle(document.documentElement).colorScheme === "dark";
    document.documentElement.dataset.theme = isDark ? "light" : "dark";
    drawPictures();
  });
  document.addEventListener("click", (event) => {
    if (event.target.className === "copy") navigator.clipboard.writeText(event.target.parentElement.dataset.text).then(() => { event.target.textContent = "copied"; });
  });
}
function keys(event) {
  const isTyping = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName);
  if (event.key === "Escape") { hidePanel(); event.target.blur(); }
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "/" && !isTyping) { event.preventDefault(); $("search").focus(); }
  const inList = document.activeElement === $("list") || (event.target === $("search") && event.key.startsWith("Arrow"));
  const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: 20, PageUp: -20, Home: -Infinity, End: Infinity };
  if (inList && event.key in steps) {
    event.preventDefault();
    $("list").focus();
    move(Number.isFinite(steps[event.key]) ? steps[event.key] : Math.sign(steps[event.key]) * view.length);
  }
  if (inList && (event.key === "Enter" || event.key === " ")) { event.preventDefault(); activate(selected); }
}

async function start() {
  if (typeof DecompressionStream === "undefined") return;
  data = await unpack("data");
  rows = data.name.length;
  if (!rows) return;
  data.last = data.duration.slice();
  for (const [row, ms] of Object.entries(data.retried)) data.last[row] = ms;
  data.detailed = new Set(data.detailed);
  data.fresh = new Set(data.fresh);
  data.longest = data.duration.reduce((a, b) => Math.max(a, b), 1);
  data.severity = data.outcomes.map((name) => data.order.indexOf(name));
  $("explorer").hidden = false;
  listen();
  recall();
  addCopyButtons(document);
  showEnds(document);
  requestAnimationFrame(() => { $("pictures").hidden = false; drawPictures(); });
  // What the first filter and the first sort by name need is prepared while nobody waits.
  setTimeout(() => { haystack(); setTimeout(() => { rankBy("name"); rankBy("duration"); }, 50); }, 300);
}
