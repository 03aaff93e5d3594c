"use strict";
// Keeps the parts of a page that are marked `data-live` as the coordinator has them now, without a reload. The parts come
// as HTML from the coordinator, which has escaped everything; this script puts no text of its own into the page.
(() => {
  const EVERY_MS = 4000;
  const SOONEST_MS = 700;
  let tag = "";
  let timer = 0;
  let last = 0;
  let isAsking = false;

  const keyOf = (element) => element.id || element.getAttribute("href") || element.getAttribute("action") || "";

  // The element of the new part that the user had under the keys in the old one.
  const sameIn = (part, element) => {
    const owner = element.closest("form") && element.tagName === "BUTTON" ? element.closest("form") : element;
    const key = keyOf(owner);
    if (!key) return null;
    const found = [...part.querySelectorAll(owner.tagName)].find((other) => keyOf(other) === key);
    return found && owner !== element ? found.querySelector("button") : found;
  };

  const replace = (before, after) => {
    if (before.outerHTML === after.outerHTML) return;
    const focused = before.contains(document.activeElement) ? document.activeElement : null;
    for (const details of before.querySelectorAll("details[id]")) {
      const same = after.querySelector(`details[id="${details.id}"]`);
      if (same) same.open = details.open;
    }
    const scrolled = [...before.querySelectorAll("pre")].map((pre) => pre.scrollTop);
    const made = document.importNode(after, true);
    before.replaceWith(made);
    [...made.querySelectorAll("pre")].forEach((pre, index) => { pre.scrollTop = scrolled[index] || 0; });
    const target = focused && sameIn(made, focused);
    if (target) target.focus({ preventScroll: true });
  };

  const isSelecting = () => { const chosen = getSelection(); return Boolean(chosen && !chosen.isCollapsed); };

  const refresh = async () => {
    clearTimeout(timer);
    if (!document.hidden && !isAsking && !isSelecting()) {
      isAsking = true;
      last = Date.now();
      try {
        const answer = await fetch(location.href, { headers: { "If-None-Match": tag }, redirect: "manual", cache: "no-store" });
        if (answer.type === "opaqueredirect") { location.assign("/login"); return; }
        document.querySelector("#stale").hidden = answer.ok || answer.status === 304;
        if (answer.ok) {
          tag = answer.headers.get("ETag") || "";
          const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
          for (const before of document.querySelectorAll("[data-live]")) {
            const after = fresh.getElementById(before.id);
            if (after) replace(before, after);
          }
          follow();
        }
      } catch {
        document.querySelector("#stale").hidden = false;
      } finally {
        isAsking = false;
      }
    }
    timer = setTimeout(refresh, EVERY_MS);
  };

  const soon = () => {
    clearTimeout(timer);
    timer = setTimeout(refresh, Math.max(0, last + SOONEST_MS - Date.now()));
  };

  // A run that is under way tells of each event; the page is asked for at most so often.
  let source = null;
  const follow = () => {
    const run = document.querySelector("[data-run]");
    if (!run && source) { source.close(); source = null; }
    if (!run || source) return;
    source = new EventSource(`/runs/${run.dataset.run}/signals`);
    source.onmessage = soon;
  };

  for (const form of document.querySelectorAll("form[data-filter]")) {
    let typing = 0;
    form.addEventListener("input", () => {
      clearTimeout(typing);
      typing = setTimeout(() => {
        const words = new URLSearchParams([...new FormData(form)].filter(([, value]) => value));
        history.replaceState(null, "", words.size ? `${form.action}?${words}` : form.action);
        tag = "";
        soon();
      }, 250);
    });
  }
  document.addEventListener("submit", (event) => {
    const asks = event.target.dataset.asks;
    if (asks && !confirm(asks)) event.preventDefault();
  });
  document.addEventListener("visibilitychange", () => { if (!document.hidden) soon(); });
  if (document.querySelector("[data-live]")) { follow(); timer = setTimeout(refresh, EVERY_MS); }
})();
