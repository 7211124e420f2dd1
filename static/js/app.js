// Every page works without this file. It adds theme, copying, dialogs, and guards on forms.
const root = document.documentElement;
const byId = (id) => document.getElementById(id);
const say = (text) => { const live = byId("live"); if (live) live.textContent = text; };

// ---------- Theme: a cookie, so that the server writes data-theme and nothing flashes ----------
function switchTheme() {
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  const secure = location.protocol === "https:" ? "; secure" : "";
  document.cookie = `theme=${root.dataset.theme}; path=/; max-age=31536000; samesite=lax${secure}`;
  say(`Theme: ${root.dataset.theme}`);
}

// ---------- Buttons ----------
async function copy(button) {
  const code = button.parentElement.querySelector("code");
  try {
    await navigator.clipboard.writeText(code.textContent);
  } catch {
    getSelection().selectAllChildren(code); // no clipboard on plain http: leave it selected
    say("Selected, copy it with your keyboard");
    return;
  }
  button.dataset.state = "done";
  say("Copied");
  setTimeout(() => delete button.dataset.state, 2000);
}

// A dialog that came open (an error in its form) is part of the page for browsers without script.
function show(dialog) {
  dialog.close();
  dialog.showModal();
  dialog.querySelector(".error-summary, .field :is(.input, input)")?.focus();
}

// The first line of the next error below the one that was shown last; after the last, the first again.
function nextError(link, event) {
  const log = link.closest(".panel").querySelector("[data-log]");
  const starts = [...log.querySelectorAll("li[data-tone=bad]")].filter((line) => line.querySelector("time") || line.previousElementSibling?.dataset.tone !== "bad");
  if (!starts.length) return;
  event.preventDefault();
  const last = starts.findIndex((line) => line.hasAttribute("aria-current"));
  const next = starts[(last + 1) % starts.length];
  starts[last]?.removeAttribute("aria-current");
  next.setAttribute("aria-current", "true");
  next.scrollIntoView({ block: "center" });
  if (next.id) history.replaceState(null, "", `#${next.id}`);
  say(`Error ${starts.indexOf(next) + 1} of ${starts.length}`);
}

const actions = {
  theme: switchTheme,
  copy,
  dismiss: (button) => button.closest(".toast").remove(),
  "next-error": nextError,
  "close-dialog": (button) => button.closest("dialog").close(),
};

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-action]");
  if (button) actions[button.dataset.action]?.(button, event);
  const opener = event.target.closest("[data-dialog]");
  const dialog = opener && byId(opener.dataset.dialog);
  if (dialog) { event.preventDefault(); show(dialog); }
  for (const menu of document.querySelectorAll("details[data-menu][open]")) {
    if (!menu.contains(event.target)) menu.open = false;
  }
});

document.addEventListener("keydown", (event) => {
  const menu = event.key === "Escape" && event.target.closest("details[data-menu][open]");
  if (menu) { menu.open = false; menu.querySelector("summary").focus(); }
});

// ---------- Forms ----------
const asText = (form) => JSON.stringify([...new FormData(form)].map(([key, value]) => [key, value.name ?? value]));
const guarded = new Map([...document.querySelectorAll("form[data-guard]")].map((form) => [form, asText(form)]));

addEventListener("beforeunload", (event) => {
  for (const [form, before] of guarded) if (asText(form) !== before) event.preventDefault();
});

document.addEventListener("submit", (event) => {
  guarded.delete(event.target);
  const button = event.submitter;
  if (!button || event.target.method === "dialog") return;
  // Not disabled: a disabled button would not send its own name. A second press within the wait is dropped.
  if (button.getAttribute("aria-busy") === "true") return event.preventDefault();
  button.setAttribute("aria-busy", "true");
  setTimeout(() => button.removeAttribute("aria-busy"), event.target.target === "_blank" ? 1000 : 8000);
});
addEventListener("pageshow", () => document.querySelectorAll("[aria-busy]").forEach((el) => el.removeAttribute("aria-busy")));

document.addEventListener("input", (event) => {
  const wanted = event.target.dataset?.confirm;
  if (wanted === undefined) return;
  const button = event.target.form.querySelector("[type=submit]");
  button.setAttribute("aria-disabled", String(event.target.value.trim() !== wanted));
});

document.addEventListener("change", (event) => {
  const name = event.target.type === "file" && event.target.closest("[data-drop]")?.querySelector("[data-drop-name]");
  if (name && event.target.files.length) name.textContent = [...event.target.files].map((file) => file.name).join(", ");
});
// A box that is of no use without another ticks that one, too.
document.addEventListener("change", ({ target }) => {
  for (let box = target; box?.checked && box.dataset.needs;) {
    box = [...target.form.elements].find((one) => one.name === target.name && one.value === box.dataset.needs);
    if (box && !box.checked) { box.checked = true; say(`Also selected: ${box.labels[0].textContent}`); }
  }
});
for (const type of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(type, (event) => {
    const zone = event.target.closest?.("[data-drop]");
    if (!zone) return;
    event.preventDefault();
    zone.dataset.state = type === "dragover" ? "over" : "";
    const input = zone.querySelector("input[type=file]");
    if (type !== "drop" || !event.dataTransfer.files.length) return;
    input.files = event.dataTransfer.files;
    input.dispatchEvent(new Event("change", { bubbles: true }));
  });
}

// ---------- On arrival ----------
document.querySelector(".error-summary")?.focus();
document.querySelectorAll("dialog[open]").forEach(show);
document.querySelectorAll("input[data-confirm]").forEach((input) => input.dispatchEvent(new Event("input", { bubbles: true })));
document.querySelector("form[data-submit]")?.requestSubmit();
