// The palette: Ctrl-K, Cmd-K or / opens it over any page. Results come from the search page; without this file that page does the same.
const dialog = document.getElementById("palette");
const input = dialog?.querySelector("[role=combobox]");
const options = () => [...dialog.querySelectorAll("[role=option]")];
const isMac = /Mac|iPhone|iPad/.test(navigator.platform);
let isWaiting = false; // for results of what stands in the field now
let opensFirst = false; // Enter was pressed meanwhile
let asking; // the timer of the next question

function choose(option) {
  for (const one of options()) one.setAttribute("aria-selected", String(one === option));
  if (!option) return input.removeAttribute("aria-activedescendant");
  input.setAttribute("aria-activedescendant", option.id);
  option.scrollIntoView({ block: "nearest" });
}

function move(step) {
  const all = options();
  if (!all.length) return;
  const now = all.findIndex((one) => one.getAttribute("aria-selected") === "true");
  choose(all[(now + step + all.length) % all.length]);
}

function open() {
  if (dialog.open) return input.select();
  for (const other of document.querySelectorAll("dialog[open]")) other.close();
  dialog.showModal();
  input.select();
  isWaiting = true;
  ask();
}

// htmx asks on "change", which a field by itself fires only when it is left.
function ask(delay = 0) {
  clearTimeout(asking);
  asking = setTimeout(() => input.dispatchEvent(new Event("change")), delay);
}

function follow(modifiers) {
  const option = dialog.querySelector("[role=option][aria-selected=true]");
  if (!option) return input.form.requestSubmit();
  // As a click, so that Ctrl and Cmd open a new tab.
  option.dispatchEvent(new MouseEvent("click", { bubbles: true, cancelable: true, ...modifiers }));
}

const keys = {
  ArrowDown: () => move(1),
  ArrowUp: () => move(-1),
  Enter: ({ ctrlKey, metaKey }) => { if (isWaiting) opensFirst = true; else follow({ ctrlKey, metaKey }); },
};

if (dialog) {
  for (const hint of document.querySelectorAll("[data-palette-key]")) hint.textContent = isMac ? "⌘K" : "Ctrl K";

  document.addEventListener("keydown", (event) => {
    const isTyping = event.target.closest("input, textarea, select, [contenteditable]");
    const hasModifier = event.ctrlKey || event.metaKey;
    const isChord = event.key.toLowerCase() === "k" && (isMac ? event.metaKey : event.ctrlKey) && !event.shiftKey && !event.altKey;
    if (!isChord && (event.key !== "/" || isTyping || hasModifier || event.altKey)) return;
    event.preventDefault();
    open();
  });
  document.addEventListener("click", (event) => {
    if (!event.target.closest(".find")) return;
    event.preventDefault();
    open();
  });

  input.addEventListener("keydown", (event) => {
    if (event.isComposing || !keys[event.key]) return;
    event.preventDefault();
    keys[event.key](event);
  });
  input.addEventListener("input", () => { isWaiting = true; opensFirst = false; ask(120); });
  document.addEventListener("htmx:after:swap", (event) => {
    if (event.target !== input) return;
    options().forEach((option, place) => { option.id = `palette-option-${place}`; });
    choose(options()[0]);
    isWaiting = document.getElementById("palette-found").dataset.text !== input.value.trim();
    if (opensFirst && !isWaiting) follow({});
  });
  // No answer: Enter leads to the search page, which says what is wrong.
  document.addEventListener("htmx:error", (event) => { if (event.target === input) { isWaiting = false; choose(null); } });

  dialog.addEventListener("pointermove", (event) => { const option = event.target.closest("[role=option]"); if (option) choose(option); });
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog || event.target.closest("[data-action]")) dialog.close();
  });
  dialog.addEventListener("close", () => { opensFirst = false; });
}
