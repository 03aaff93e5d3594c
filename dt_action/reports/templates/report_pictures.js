// Two pictures: what each slot ran when, and how the tests' durations are spread.
const LEFT = 92, RIGHT = 24, FOOT = 20, HEIGHT = 150;
let laneHeight = 20;
const tone = (name) => getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();
const toneOf = (outcome) => ({ passed: "green", xpassed: "green", failed: "red", error: "red", timeout: "violet", crashed: "violet", lost: "amber" })[outcome] || "grey";
let lanes = null, tones = [];

function canvasOf(id, height) {
  const canvas = $(id), width = canvas.parentElement.clientWidth, scale = devicePixelRatio || 1;
  canvas.width = width * scale;
  canvas.height = height * scale;
  canvas.style.height = height + "px";
  const context = canvas.getContext("2d");
  context.scale(scale, scale);
  context.font = "11px system-ui, sans-serif";
  return [canvas, context, width];
}
function drawPictures() {
  if ($("pictures").hidden) return;
  drawTimeline();
  drawDurations();
}

function slots() {
  if (lanes) return lanes;
  const bySlot = new Map();
  for (let row = 0; row < rows; row++) {
    if (data.start[row] < 0) continue;
    const name = data.names.slot[data.slot[row]] || data.names.worker[data.worker[row]] || "slot", key = data.worker[row] + "/" + data.slot[row];
    if (!bySlot.has(key)) bySlot.set(key, { name, rows: [] });
    bySlot.get(key).rows.push(row);
  }
  lanes = [...bySlot.values()].sort((a, b) => a.name < b.name ? -1 : 1);
  for (const lane of lanes) lane.rows.sort((a, b) => data.start[a] - data.start[b]);
  return lanes;
}
function drawTimeline() {
  const all = slots();
  laneHeight = Math.min(Math.max((HEIGHT - FOOT) / (all.length || 1), 20), 40);
  const [canvas, context, width] = canvasOf("timeline", all.length * laneHeight + FOOT);
  let end = 1;
  for (const lane of all) for (const row of lane.rows) end = Math.max(end, data.start[row] + data.last[row]);
  tones = data.outcomes.map((outcome) => tone(toneOf(outcome)));
  const x = (ms) => LEFT + (width - LEFT - RIGHT) * ms / end;
  all.forEach((lane, n) => drawLane(context, lane, n * laneHeight, x, width));
  axis(context, all.length * laneHeight, end, x);
  canvas.onmousemove = (event) => {
    const box = canvas.getBoundingClientRect(), lane = all[Math.floor((event.clientY - box.top) / laneHeight)];
    const at = (event.clientX - box.left - LEFT) / (width - LEFT - RIGHT) * end;
    const row = lane && at >= 0 ? lane.rows.findLast((one) => data.start[one] <= at) : undefined;
    tip(event, row === undefined || data.start[row] + data.last[row] + end / 200 < at ? "" : idOf(row) + "  " + seconds(data.last[row]));
  };
  canvas.onmouseleave = () => tip(null, "");
}
// Tests that are narrower than a pixel are drawn together; a failing one always gets a pixel of its own.
function drawLane(context, lane, top, x, width) {
  context.fillStyle = tone("dim");
  context.fillText(lane.name.slice(0, 14), 0, top + laneHeight / 2 + 4, LEFT - 8);
  context.fillStyle = tone("soft");
  context.fillRect(LEFT, top + 3, width - LEFT - RIGHT, laneHeight - 6);
  let drawnTo = -1;
  const bad = [];
  for (const row of lane.rows) {
    const from = x(data.start[row]), to = Math.max(x(data.start[row] + data.last[row]), from + .6);
    if (failing(row)) bad.push([row, from, to]);
    if (to < drawnTo + .5) continue;
    context.fillStyle = tones[data.outcome[row]];
    context.globalAlpha = to - from > 2 ? .85 : .6;
    context.fillRect(from, top + 3, to - from > 3 ? to - from - 1 : to - from, laneHeight - 6);
    drawnTo = to;
  }
  context.globalAlpha = 1;
  for (const [row, from, to] of bad) {
    context.fillStyle = tones[data.outcome[row]];
    context.fillRect(from, top + 1, Math.max(to - from, 2), laneHeight - 2);
  }
}
function axis(context, top, end, x) {
  const rough = end / Math.max(Math.floor((x(end) - LEFT) / 90), 2), unit = 10 ** Math.floor(Math.log10(rough)), step = [1, 2, 5, 10].map((n) => n * unit).find((size) => size >= rough);
  context.fillStyle = tone("dim");
  context.textAlign = "center";
  for (let ms = 0; ms <= end; ms += step) {
    context.fillRect(x(ms), top, 1, 4);
    context.fillText(seconds(Math.round(ms)), Math.max(x(ms), LEFT + 10), top + 15);
  }
  context.textAlign = "left";
}

const EDGES = [0, 1, 3, 10, 30, 100, 300, 1000, 3000, 10000, 30000, 100000, 300000, Infinity];
function drawDurations() {
  const counts = new Array(EDGES.length - 1).fill(0), bad = counts.slice();
  for (let row = 0; row < rows; row++) {
    let bucket = 0;
    while (data.duration[row] >= EDGES[bucket + 1]) bucket++;
    counts[bucket]++;
    bad[bucket] += failing(row);
  }
  const last = counts.findLastIndex(Boolean), height = HEIGHT, [canvas, context, width] = canvasOf("durations", height);
  const most = Math.max(...counts), step = width / (last + 1), tall = (count) => count ? Math.max((height - 40) * Math.log1p(count) / Math.log1p(most), 3) : 0;
  context.textAlign = "center";
  for (let n = 0; n <= last; n++) {
    const x = n * step;
    context.fillStyle = tone("blue");
    context.globalAlpha = .75;
    context.fillRect(x + 2, height - 20 - tall(counts[n]), step - 4, tall(counts[n]));
    context.globalAlpha = 1;
    context.fillStyle = tone("red");
    context.fillRect(x + 2, height - 20 - tall(counts[n]) * bad[n] / (counts[n] || 1), step - 4, tall(counts[n]) * bad[n] / (counts[n] || 1));
    context.fillStyle = tone("dim");
    if (counts[n]) context.fillText(counts[n] < 10000 ? counts[n] : Math.round(counts[n] / 1000) + "k", x + step / 2, height - 25 - tall(counts[n]));
    if (n && (n % 2 === 0 || last < 7)) context.fillText(shortly(EDGES[n]), x, height - 6);
  }
  const bucketAt = (event) => Math.min(Math.floor((event.clientX - canvas.getBoundingClientRect().left) / step), last);
  canvas.style.cursor = "pointer";
  canvas.onclick = (event) => limitDuration(EDGES[bucketAt(event)], EDGES[bucketAt(event) + 1]);
  canvas.onmousemove = (event) => {
    const n = bucketAt(event);
    if (n >= 0) tip(event, counts[n].toLocaleString("en") + " tests, " + bad[n].toLocaleString("en") + " failing: " + shortly(EDGES[n]) + " to " + (EDGES[n + 1] === Infinity ? "any" : shortly(EDGES[n + 1])));
  };
  canvas.onmouseleave = () => tip(null, "");
}
const shortly = (ms) => ms < 1000 ? ms + " ms" : ms < 60000 ? ms / 1000 + " s" : (ms / 60000).toFixed(0) + " min";
function tip(event, text) {
  const element = $("tip");
  element.hidden = !text;
  if (!text) return;
  element.textContent = text;
  element.style.left = Math.min(event.clientX + 12, innerWidth - 540) + "px";
  element.style.top = event.clientY + 14 + "px";
}

// All three scripts are one element of the page; this is its end.
start();
