// The state of the page and its wiring. Nothing of a clip is stored: it lives in this module until it is replaced.

import { analyze, getJson } from "./service.js";
import { announce, byId, el } from "./dom.js";
import { keys } from "./keys.js";
import { Progress } from "./progress.js";
import { Models } from "./models.js";
import { offerFiles, offerSamples } from "./sources.js";
import * as words from "./words.js";
import { tabs } from "./tabs.js";

const state = { credential: "", source: null, report: null, result: null, event: null, running: null };
const credential = () => state.credential;
const models = new Models(credential);
const progress = new Progress(byId("working"));
const mounted = new Set();

const bar = tabs(document.querySelector('[role="tablist"]'), (panel) => mount(panel));

const parts = new Map();

/** Load a part of the page, with its style sheet, when it is first wanted. */
function part(name) {
  if (!parts.has(name)) parts.set(name, Promise.all([import(`./${name}.js`), styled(name)]).then(([module]) => module));
  return parts.get(name);
}

/** Ends when the style sheet holds, since what is drawn measures itself by it. */
function styled(name) {
  return new Promise((resolve, reject) => {
    const refused = () => reject({ code: "unreachable" });
    document.head.append(el("link", { rel: "stylesheet", href: `/web/${name}.css`, onload: resolve, onerror: refused }));
  });
}

async function mount(panel) {
  if (mounted.has(panel)) return;
  mounted.add(panel);
  if (panel === "models") models.showAll(byId("models"));
  if (panel === "live") (await part("live")).mountLive(byId("live"), { credential });
}

/** @param {{name: string, load: () => Promise<Blob>}} source */
async function start(source) {
  leaveResult();
  hideProblem();
  byId("start").hidden = true;
  state.source = { name: source.name, blob: null, load: source.load, options: chosenOptions() };
  const controller = new AbortController();
  state.running = controller;
  progress.begin(source.name);
  try {
    const blob = await source.load(controller.signal);
    state.source.blob = blob;
    const report = await analyze(blob, source.name, {
      options: state.source.options,
      credential: credential(),
      signal: controller.signal,
      onProgress: (step) => progress.tell(step),
    });
    await show(report);
  } catch (problem) {
    failed(problem);
  } finally {
    state.running = null;
    progress.end();
  }
}

function chosenOptions() {
  const kinds = ["micro", "macro"].filter((kind) => byId(kind).checked);
  const model = byId("model").value;
  return {
    ...(model ? { model } : {}),
    faces: byId("faces").value,
    kinds: kinds.join(","),
    include: "signals,pictures",
    explain: "true",
  };
}

async function show(report) {
  const { Result } = await part("result");
  state.report = report;
  state.result = new Result(byId("result"), {
    report,
    source: state.source,
    options: state.source.options,
    credential,
    openEvent,
    again: () => begin(),
  });
  byId("result").hidden = false;
  state.result.focus();
  announce(words.headline(report));
}

async function openEvent(index) {
  const { report } = state;
  const event = report.events[index];
  const from = document.activeElement;
  state.event?.close();
  const { showEvent } = await part("event");
  if (state.report !== report) return;
  const section = byId("event");
  section.hidden = false;
  const model = models.known(report.model.name);
  const view = showEvent(section, { report, event, strings: words, model });
  // The view has a button of its own to close it, and leaves an empty section.
  const watch = new MutationObserver(() => section.childElementCount === 0 && state.event?.close());
  watch.observe(section, { childList: true });
  state.event = {
    close() {
      watch.disconnect();
      state.event = null;
      view.close();
      section.hidden = true;
      section.replaceChildren();
      state.result?.mark(null);
      if (from?.isConnected) from.focus();
    },
  };
  state.result.mark(index);
  section.scrollIntoView({ block: "start" });
}

function leaveResult() {
  state.event?.close();
  state.result?.close();
  state.result = null;
  state.report = null;
  state.source = null;
  byId("result").hidden = true;
}

/** Back to the beginning. */
function begin() {
  leaveResult();
  hideProblem();
  byId("start").hidden = false;
  byId("choose").focus();
}

function hideProblem() {
  byId("problem").hidden = true;
  byId("problem").replaceChildren();
}

function failed(problem) {
  byId("start").hidden = false;
  const source = state.source;
  if (problem.code === "unauthenticated") {
    askForKey(() => start(source));
    return;
  }
  const { text, detail, wait_s: wait, again: retryable, request } = words.problemWords(problem);
  const patience = wait > 1 ? ` It suggests to wait ${Math.ceil(wait)} seconds.` : "";
  const title = problem.code === "cancelled" ? "Cancelled" : "No answer to this clip";
  const again = el("button", { type: "button", class: "primary", onclick: () => start(source) }, "Try again");
  byId("problem").replaceChildren(
    el("h2", {}, source ? `${title}: ${source.name}` : title),
    el("p", {}, text + patience),
    detail ? el("p", { class: "muted small" }, words.capital(detail)) : "",
    request ? el("p", { class: "muted small" }, "Number of the request: ", el("code", {}, request)) : "",
    retryable && source ? el("p", {}, again) : "",
  );
  byId("problem").hidden = false;
  (retryable && source ? again : byId("choose")).focus();
}

let retry = null;

function askForKey(after) {
  // The list of models asks as well, and must not put off a clip that waits.
  retry = after ?? retry;
  byId("key-refused").hidden = credential() === "";
  byId("key-form").hidden = false;
  byId("key").focus();
}

byId("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  state.credential = byId("key").value.trim();
  byId("key").value = "";
  byId("key-form").hidden = true;
  void loadModels();
  const next = retry;
  retry = null;
  next?.();
});

async function loadModels() {
  try {
    await models.load(byId("model"));
    byId("options").hidden = false;
    if (bar.current() === "models") models.showAll(byId("models"));
  } catch (problem) {
    if (problem.code === "unauthenticated") askForKey(null);
    models.failed(words.problemWords(problem).text);
  }
}

byId("theme").addEventListener("click", themeToggled);
function themeToggled() {
  window.glimpseTheme.toggle();
}
function themeShown() {
  byId("theme").setAttribute("aria-pressed", String(window.glimpseTheme.dark()));
}
window.addEventListener("themechange", themeShown);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => window.dispatchEvent(new Event("themechange")));
themeShown();

byId("cancel").addEventListener("click", () => state.running?.abort());
// A page that is left is forgotten, also by the browser's memory of pages to go back to.
window.addEventListener("pagehide", () => {
  state.running?.abort();
  state.credential = "";
  leaveResult();
});

const onClip = () => bar.current() === "clip" && state.result !== null;
keys([
  { keys: ["1"], text: "Clip", run: () => bar.open("clip") },
  { keys: ["2"], text: "Live", run: () => bar.open("live") },
  { keys: ["3"], text: "Models", run: () => bar.open("models") },
  { keys: ["o"], text: "Choose a file", run: () => byId("choose").click(), when: () => bar.current() === "clip" },
  { keys: [" "], text: "Play or pause", run: () => state.result.player.toggle(), when: onClip },
  { keys: [","], text: "One picture back", run: () => state.result.player.step(-1), when: onClip },
  { keys: ["."], text: "One picture on", run: () => state.result.player.step(1), when: onClip },
  { keys: ["["], text: "Previous event", run: () => state.result.step(-1), when: onClip },
  { keys: ["]"], text: "Next event; Enter opens it", run: () => state.result.step(1), when: onClip },
  { keys: ["Escape"], text: "Close the event", run: () => state.event.close(), when: () => state.event !== null },
  { keys: ["t"], text: "Light or dark", run: themeToggled },
]);

offerFiles(byId("drop"), byId("choose"), byId("file"), start);
void offerSamples(byId("samples"), byId("sample-list"), start, () => getJson("/samples", ""));
void loadModels();
