// Keys of one letter, and the list that "?" opens. They can be switched off (WCAG 2.1, criterion 2.1.4).

import { byId, el } from "./dom.js";

/** @param {Array<{keys: string[], text: string, run: () => void, when?: () => boolean}>} actions */
export function keys(actions) {
  const dialog = byId("keys");
  const help = { keys: ["?"], text: "Show this list", run: () => dialog.showModal() };
  const all = [...actions, help];
  byId("key-list").append(
    ...all.map(({ keys: names, text }) =>
      el("tr", {}, el("th", { scope: "row" }, ...names.map((name) => el("kbd", {}, shown(name)))), el("td", {}, text)),
    ),
  );
  byId("help").addEventListener("click", help.run);
  byId("keys-close").addEventListener("click", () => dialog.close());
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || dialog.open) return;
    if (!byId("keys-on").checked || typing(event.target)) return;
    const action = all.find((each) => each.keys.includes(event.key) && (each.when?.() ?? true));
    if (!action || (event.key === " " && pressed(event.target))) return;
    event.preventDefault();
    action.run();
  });
}

const shown = (key) => ({ " ": "Space" })[key] ?? key;
const typing = (target) => target.matches?.("input:not([type=checkbox]):not([type=radio]), select, textarea");
// Space presses what has the focus.
const pressed = (target) => target.matches?.("button, summary, a, input, [role=tab]");
