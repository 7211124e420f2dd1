// Changes and log lines as they happen. Without a stream the elements poll, as they do without this file.
const SAFETY = 15000; // an open stream is checked by a poll this often
const HIDDEN = 60000; // a hidden tab gives its stream back
const SLOWEST = 300000;
const streams = new Map(); // the address of its tickets → a stream
const elements = (address) => [...document.querySelectorAll("[data-stream]")].filter((el) => el.dataset.stream === address);
const wait = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));

async function openStream(stream) {
  const asked = await fetch(stream.address, { headers: { "HX-Request": "true" }, redirect: "error" });
  if ([401, 403, 404].includes(asked.status) || !asked.headers.get("Content-Type")?.includes("json")) return stop(stream);
  const { url, ticket } = await asked.json();
  stream.isOpening = true; // no poll begins from here on
  while (stream.isPolling) await wait(50);
  const after = elements(stream.address).some((el) => el.closest("[data-log]")) ? document.getElementById("log-cursor")?.value : "";
  const body = new URLSearchParams({ ticket, after: after ?? "" });
  const response = await fetch(url, { method: "POST", body, credentials: "omit", signal: stream.control.signal });
  if (!response.ok) throw new Error(response.status);
  stream.isOpen = true;
  tellRhythm(stream, "as it happens");
  await readEvents(response.body, (event) => take(stream, event));
}

async function readEvents(body, take) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const frames = (text + value).split("\n\n");
    text = frames.pop();
    frames.map(eventOf).forEach(take);
  }
}

function eventOf(frame) {
  const event = { name: "", id: "", data: [] };
  for (const line of frame.split("\n")) {
    const [, field, value] = line.match(/^(\w+): ?(.*)$/) ?? [];
    if (field === "event") event.name = value;
    else if (field === "id") event.id = value;
    else if (field === "data") event.data.push(value);
  }
  return { ...event, data: event.data.join("\n") };
}

function take(stream, event) {
  stream.failures = 0;
  if (event.name === "ended") return stop(stream);
  if (event.name === "changed") nudge(stream);
  if (event.name === "silent") tellRhythm(stream, event.data);
  if (event.name !== "lines") return;
  tellRhythm(stream, "as it happens");
  for (const list of elements(stream.address)) {
    list.insertAdjacentHTML("beforeend", event.data);
    list.dispatchEvent(new CustomEvent("stream:lines", { bubbles: true }));
  }
  const cursor = document.getElementById("log-cursor");
  if (cursor) cursor.value = event.id;
}

function tellRhythm(stream, words) {
  for (const el of elements(stream.address)) {
    const note = el.closest(".panel")?.querySelector("[data-rhythm]");
    if (!note) continue;
    note.dataset.polling ??= note.textContent;
    note.textContent = words || note.dataset.polling;
  }
}

// Ask for the element now, or once more after the answer that is on its way.
function nudge(stream) {
  stream.isNudged = true;
  if (!stream.isPolling) elements(stream.address).forEach((el) => el.closest("[data-log]") || htmx.trigger(el, "changed"));
}
function stop(stream) { stream.isStopped = true; }
function close(stream) { stream.control.abort(); stream.control = new AbortController(); }

async function keep(stream) {
  while (!stream.isStopped && elements(stream.address).length) {
    if (document.hidden) { await new Promise((seen) => document.addEventListener("visibilitychange", seen, { once: true })); continue; }
    try { await openStream(stream); } catch { /* polling goes on */ }
    const wasOpen = stream.isOpen;
    stream.isOpen = stream.isOpening = false;
    tellRhythm(stream, "");
    if (wasOpen && document.hidden) continue;
    await wait(Math.min(SLOWEST, 1000 * 2 ** stream.failures++) * (0.5 + Math.random() / 2));
  }
  streams.delete(stream.address);
}

function begin() {
  for (const { dataset } of document.querySelectorAll("[data-stream]")) {
    const address = dataset.stream;
    if (streams.has(address)) continue;
    const stream = { address, failures: 0, polledAt: Date.now(), control: new AbortController() };
    streams.set(address, stream);
    keep(stream);
  }
}

// ---------- Polls of elements that have a stream ----------
document.addEventListener("htmx:before:request", (event) => {
  const stream = streams.get(event.target.dataset?.stream);
  if (!stream || event.defaultPrevented) return;
  const isLog = Boolean(event.target.closest("[data-log]"));
  const isDue = !isLog && Date.now() - stream.polledAt > SAFETY;
  if ((stream.isOpen || stream.isOpening) && !stream.isNudged && !isDue) return event.preventDefault();
  stream.isNudged = false;
  stream.isPolling = true;
  stream.polledAt = Date.now();
});
for (const end of ["htmx:finally:request", "htmx:after:request", "htmx:error"]) document.addEventListener(end, (event) => {
  const stream = streams.get(event.target.dataset?.stream);
  if (!stream?.isPolling) return;
  stream.isPolling = false;
  if (stream.isNudged) setTimeout(() => nudge(stream));
});

let hiding;
document.addEventListener("visibilitychange", () => {
  clearTimeout(hiding);
  if (document.hidden) hiding = setTimeout(() => streams.forEach(close), HIDDEN);
  else streams.forEach(nudge);
});
addEventListener("pagehide", () => streams.forEach(close));
begin();
