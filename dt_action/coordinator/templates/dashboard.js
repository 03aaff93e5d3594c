"use strict";
// The filter of the table of tests, and a run's events as they come. Everything shown is set as text, never as HTML.
(() => {
  const table = document.querySelector("#results tbody");
  if (!table) return;
  const filter = document.querySelector("#filter");
  const outcome = document.querySelector("#outcome");
  const fits = (row) =>
    row.textContent.toLowerCase().includes(filter.value.toLowerCase()) &&
    (!outcome.value || row.dataset.outcome === outcome.value);
  const apply = () => { for (const row of table.rows) row.hidden = !fits(row); };
  filter.addEventListener("input", apply);
  outcome.addEventListener("input", apply);

  const live = document.querySelector("#live");
  if (live.dataset.live !== "yes") return;
  const bar = document.querySelector("#progress");
  const counts = {};
  let known = Number(bar.max) > 1 ? Number(bar.max) : 0;
  let done = table.rows.length;
  for (const row of table.rows) counts[row.dataset.outcome] = (counts[row.dataset.outcome] || 0) + 1;
  const running = new Map();

  const cell = (row, text, name) => {
    const made = row.insertCell();
    made.textContent = text;
    if (name) made.className = name;
    return made;
  };
  const addRow = (test, attempt) => {
    const row = document.createElement("tr");
    row.dataset.outcome = attempt.outcome;
    const word = document.createElement("span");
    word.className = `word ${attempt.outcome}`;
    word.textContent = attempt.outcome;
    cell(row, "").append(word);
    const link = document.createElement("a");
    link.textContent = test.id;
    const repository = document.querySelector("#results").dataset.repository;
    link.href = `/tests?case=${encodeURIComponent(test.id)}&repository=${encodeURIComponent(repository)}`;
    cell(row, "").append(link);
    cell(row, (attempt.duration_s || 0).toFixed(3), "number");
    cell(row, `${attempt.worker || ""} ${attempt.slot || ""}`);
    row.hidden = !fits(row);
    table.prepend(row);
    if (table.rows.length > 2000) table.deleteRow(-1);
  };
  const show = () => {
    bar.max = Math.max(known, done, 1);
    bar.value = done;
    const words = Object.entries(counts).map(([word, count]) => `${count} ${word}`);
    document.querySelector("#counts").textContent = [`${done} of ${known} cases done`, ...words].join(", ");
    document.querySelector("#running").textContent = [...running].map(([slot, test]) => `${slot}: ${test}`).join(" · ");
  };
  const hear = {
    FileCollected: (event) => { known += (event.cases || []).length; },
    CaseStarted: (event) => { running.set(event.slot, event.case); },
    CaseFinished: (event) => {
      running.delete(event.attempt.slot);
      if (event.will_retry) return;
      done += 1;
      counts[event.attempt.outcome] = (counts[event.attempt.outcome] || 0) + 1;
      addRow(event.case, event.attempt);
    },
    Logged: (event) => { document.querySelector("#logs").append(`[${event.slot}] ${event.text}\n`); },
    Ended: (event) => {
      running.clear();
      const status = document.querySelector("#status");
      status.textContent = event.status;
      status.className = `word ${event.status}`;
      source.close();
    },
  };
  const source = new EventSource(`/runs/${live.dataset.run}/stream?after=${live.dataset.after}`);
  let isDrawn = true;
  source.onmessage = (message) => {
    const event = JSON.parse(message.data);
    if (hear[event.kind]) hear[event.kind](event);
    if (!isDrawn) return;
    isDrawn = false;
    requestAnimationFrame(() => { isDrawn = true; show(); });
  };
})();
