// Cards that update themselves, log tails, relative times. Without this file a page is a page: reload it.
// ---------- Live cards: nothing is asked in a hidden tab, an old card stays and says that it is old ----------
const polls = (el) => /^every/.test(el?.getAttribute?.("data-hx-trigger") ?? "");

const fresh = new WeakMap(); // what a note said before it went stale
const noteOf = (card) => (card.closest(".panel") ?? card).querySelector(".live");

function failed(card, why) {
  card.dataset.failures = Number(card.dataset.failures ?? 0) + 1;
  const note = noteOf(card);
  if (!note) return;
  if (!fresh.has(note)) fresh.set(note, [...note.childNodes]);
  note.dataset.state = "stale";
  note.textContent = why;
}
function recovered(card) {
  delete card.dataset.failures;
  const note = noteOf(card);
  if (!fresh.has(note)) return;
  note.replaceChildren(...fresh.get(note));
  fresh.delete(note);
  delete note.dataset.state;
}
document.addEventListener("htmx:before:request", (event) => {
  const card = event.target;
  if (!polls(card)) return;
  const back = Number(card.dataset.failures ?? 0);
  const skipped = Number(card.dataset.skipped ?? 0);
  const isWaiting = back && skipped < Math.min(2 ** back, 16);
  card.dataset.skipped = isWaiting ? skipped + 1 : 0;
  if (document.hidden || card.dataset.state === "stopped" || isWaiting) event.preventDefault();
});
document.addEventListener("htmx:before:response", (event) => {
  const { status } = event.detail.ctx.response;
  if (!polls(event.target) || status < 400) return;
  event.preventDefault();
  const gone = [401, 403, 404].includes(status);
  if (gone) event.target.dataset.state = "stopped";
  failed(event.target, gone ? "No longer updated: reload the page." : `Stale: the portal answered ${status}. We keep trying.`);
});
document.addEventListener("htmx:error", (event) => {
  if (polls(event.target)) failed(event.target, `Stale since ${new Date().toLocaleTimeString()}: no answer. We keep trying.`);
});
// An answer without a body (304) says that nothing changed; only its headers tell what time it is.
function tellWhen(card, headers) {
  const [asOf, checkedAt] = [headers?.get("X-As-Of"), headers?.get("X-Checked-At")];
  const clock = asOf && noteOf(card)?.querySelector("time");
  if (clock) clock.textContent = asOf;
  const checked = checkedAt && card.querySelector("[data-checked] time");
  if (checked) checked.dateTime = checkedAt;
  if (checked) tellTime();
}
document.addEventListener("htmx:after:request", (event) => {
  if (!polls(event.target)) return;
  recovered(event.target);
  const { response } = event.detail.ctx;
  if (response?.status === 304) tellWhen(event.target, response.headers);
});

// ---------- Logs: follow the end until the reader scrolls up ----------
const isAtEnd = (log) => log.scrollHeight - log.scrollTop - log.clientHeight < 24;
function follow(log) { log.scrollTop = log.scrollHeight; delete log.dataset.state; }
document.addEventListener("scroll", (event) => {
  if (!event.target.matches?.("[data-log]")) return;
  if (isAtEnd(event.target)) delete event.target.dataset.state; else event.target.dataset.state = "paused";
}, true);
for (const arrival of ["htmx:after:swap", "stream:lines"]) document.addEventListener(arrival, (event) => {
  const log = event.target.closest?.("[data-log]");
  if (!log) return;
  const lines = log.querySelector("ol");
  if (log.dataset.state !== "paused") {
    while (lines.children.length > 5000) lines.firstElementChild.remove();
    follow(log);
  }
});

// ---------- Relative times stay true while a page stays open ----------
const units = [[31536000, "y"], [2592000, "months"], [86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
function tellTime() {
  for (const time of document.querySelectorAll("time[data-relative]")) {
    const seconds = (Date.now() - Date.parse(time.dateTime)) / 1000;
    const [size, unit] = units.find(([least]) => Math.abs(seconds) >= least) ?? [1, "s"];
    const count = Math.floor(Math.abs(seconds) / size);
    const words = `${count} ${unit === "months" && count === 1 ? "month" : unit}`;
    const text = Math.abs(seconds) < 10 ? "just now" : seconds > 0 ? `${words} ago` : `in ${words}`;
    if (time.textContent !== text) time.textContent = text;
  }
}
setInterval(() => document.hidden || tellTime(), 20000);
document.querySelectorAll("[data-log]").forEach(follow);
