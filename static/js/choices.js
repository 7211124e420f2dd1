// Long choices in forms: a field above them shows those with what is typed.
const LONG = 20;
function narrow(box, label, all, textOf, show) {
  if (all.length <= LONG) return;
  const field = Object.assign(document.createElement("input"), { type: "search", className: "input", placeholder: "Filter", autocomplete: "off" });
  field.setAttribute("aria-label", `Filter ${label}`);
  field.addEventListener("input", () => {
    const typed = field.value.trim().toLowerCase();
    const found = all.filter((one) => textOf(one).toLowerCase().includes(typed));
    show(new Set(found));
    const live = document.getElementById("live");
    if (live) live.textContent = `${found.length} of ${all.length}`;
  });
  field.addEventListener("keydown", (event) => { if (event.key === "Enter") event.preventDefault(); });
  box.before(field);
}
for (const select of document.querySelectorAll("form:not(.filters) .field > select.input:not([multiple])")) {
  const all = [...select.options];
  narrow(select, select.labels[0]?.firstChild.textContent.trim(), all, (one) => one.text,
    (found) => select.replaceChildren(...all.filter((one) => found.has(one) || one.selected || !one.value)));
}
for (const box of document.querySelectorAll("fieldset.field > div")) {
  const all = [...box.querySelectorAll(":scope > .choice")];
  if (all.length > LONG) box.prepend(...all.filter((one) => one.querySelector(":checked")));
  narrow(box, box.closest("fieldset").querySelector("legend").firstChild.textContent.trim(), all, (one) => one.textContent,
    (found) => all.forEach((one) => { one.hidden = !found.has(one) && !one.querySelector(":checked"); }));
}
