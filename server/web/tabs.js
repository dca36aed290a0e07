// Tabs by the pattern of the ARIA Authoring Practices: one stop of the Tab key, arrows move between them.

/**
 * @param {HTMLElement} list with role `tablist`
 * @param {(panel: string) => void} shown told the id of the panel that was opened
 * @returns {{open: (panel: string) => void, current: () => string}}
 */
export function tabs(list, shown) {
  const all = [...list.querySelectorAll('[role="tab"]')];
  const panel = (tab) => tab.getAttribute("aria-controls");

  const open = (name, { focus = false } = {}) => {
    for (const tab of all) {
      const chosen = panel(tab) === name;
      tab.setAttribute("aria-selected", String(chosen));
      tab.tabIndex = chosen ? 0 : -1;
      document.getElementById(panel(tab)).hidden = !chosen;
      if (chosen && focus) tab.focus();
    }
    history.replaceState(null, "", name === panel(all[0]) ? location.pathname : `#${name}`);
    shown(name);
  };

  list.addEventListener("click", (event) => {
    const tab = event.target.closest('[role="tab"]');
    if (tab) open(panel(tab));
  });
  list.addEventListener("keydown", (event) => {
    const here = all.indexOf(document.activeElement);
    const last = all.length - 1;
    const next = { ArrowRight: here + 1, ArrowLeft: here - 1, Home: 0, End: last }[event.key];
    if (here < 0 || next === undefined) return;
    event.preventDefault();
    open(panel(all[(next + all.length) % all.length]), { focus: true });
  });
  const wanted = location.hash.slice(1);
  if (all.some((tab) => panel(tab) === wanted)) open(wanted);
  return { open, current: () => panel(all.find((tab) => tab.getAttribute("aria-selected") === "true")) };
}
