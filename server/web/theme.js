// A classic script in the head, so that the chosen theme holds before anything is painted.
"use strict";
(() => {
  const KEY = "glimpse-theme";
  const root = document.documentElement;
  const stored = (() => {
    try {
      return localStorage.getItem(KEY);
    } catch {
      return null; // storage may be forbidden
    }
  })();
  if (stored === "light" || stored === "dark") root.dataset.theme = stored;

  const dark = () =>
    root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;

  window.glimpseTheme = {
    dark,
    toggle() {
      root.dataset.theme = dark() ? "light" : "dark";
      try {
        localStorage.setItem(KEY, root.dataset.theme);
      } catch {
        // It holds until the page is closed.
      }
      window.dispatchEvent(new Event("themechange"));
    },
  };
})();
